"""Trains agents on people's verdicts: replies in Taskmaster's dialogues that somebody approved of (1) or not (0).

Nobody rates new replies, so agents are measured on held-out replies: how often does an agent give an approved reply a
higher probability, per token, than one that was not approved?

Download TM-3-2020 or TM-4-2024 with its rewards from github.com/google-research-datasets/Taskmaster, then

python examples/human_feedback.py path/of/its/reward-files
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import numpy as np
import tyro

from agents import BC, LM, Agent, Logged, Refit, collate
from agents.reference import logprobs
from datasets_builders import EpisodeDataset, build
from lang_envs.make import language_vec

CORPUS = "taskmaster-feedback"


def told_apart(agent: Agent, data: EpisodeDataset) -> float:
    """How often an approved reply is likelier than one that was not; one half is chance."""
    likely = []
    for start in range(0, len(data), 64):
        batch = collate(data.rows(range(start, min(start + 64, len(data)))), agent.lm.pad_id, agent.lm.end_id)
        likely.append((logprobs(agent.model, batch).sum(1) / batch.mask.sum(1)).detach().numpy())
    approved, score = data.returns > 0.5, np.concatenate(likely)  # [N] each
    return float((score[approved][:, None] > score[~approved]).mean())


def main(path: Annotated[Path, tyro.conf.Positional], steps: int = 1000) -> None:
    """Imitates all replies, and those that were approved.

    Args:
        path: file or folder of verdicts, reward*.json.
        steps: optimiser steps.
    """
    options = {"corpus": CORPUS, "path": str(path), "env_id": "Dialogue-BLEU-v0"}
    with TemporaryDirectory() as folder:
        data = {split: build(CORPUS, None, f"{folder}/{split}", split=split, **options) for split in ("train", "test")}
        sizes = {split: len(part) for split, part in data.items()}
        print(f"Verdicts: {sizes}, of which {data['train'].returns.mean():.0%} approve.")
        env = language_vec("Dialogue-BLEU-v0", 1, corpus=CORPUS, path=str(path))
        for algorithm in (BC, Refit):  # Refit weighs each reply by its verdict
            agent = algorithm(LM.from_scratch("d128-l2", env))
            agent.learn(Logged(data["train"]), steps, lr=1e-3, batch_size=32)
            print(f"{algorithm.__name__:6s} finds the approved reply likelier in {told_apart(agent, data['test']):.0%}")


if __name__ == "__main__":
    tyro.cli(main)
