"""Trains an agent on dialogues about eight made-up services, and lets you talk with it.

python examples/chat.py                      # trains for some minutes, and saves the agent
python examples/chat.py --steps 0            # talks to the saved agent

``lang-envs chat RUN`` talks with any trained agent whose tokenizer has a chat template.
"""

from pathlib import Path

import numpy as np
import tyro

from agents import BC, LM, Agent, Logged
from datasets_builders import EpisodeDataset, build
from lang_envs.conversation import Conversation, assistant, user
from lang_envs.make import language_vec
from lang_envs.markup import markup_of


def train(steps: int, folder: Path) -> Agent:
    """Clones what the services' agents say."""
    env, data = language_vec("Dialogue-BLEU-v0", 1), folder / "logs"
    logs = (
        EpisodeDataset.load(data) if data.exists() else build("dialogue-human", None, data, env_id="Dialogue-BLEU-v0")
    )
    return BC(LM.from_scratch("d128-l2", env)).learn(Logged(logs), steps, lr=3e-3, batch_size=32)


def ask() -> str:
    """What the person says; nothing at the end of the input."""
    try:
        return input("you   > ").strip()
    except (EOFError, KeyboardInterrupt):
        return ""


def main(steps: int = 800, folder: Path = Path("runs/chat")) -> None:
    """Answers, line by line, until an empty one.

    Args:
        steps: optimiser steps; 0 opens the agent kept in the folder.
        folder: where logs and agent are kept.
    """
    if steps:
        train(steps, folder).save(folder / "agent")
    agent = Agent.load(folder / "agent")
    policy, rng = agent.policy(temperature=0.5), np.random.default_rng(0)
    markup, turns = markup_of(agent.lm.tokenizer), Conversation()
    assert markup is not None  # the tokenizer of every conversation has a chat template
    print("Ask about a hotel, a taxi, a parcel, a refund ... An empty line ends the conversation.")
    while said := ask():
        turns = (*turns, user(said))
        history = np.array(markup.opening(turns, limit=96), np.int32)  # as much as it was shown
        [turn] = policy.act([history], [rng])
        *_, reply = markup.read([*history, *turn.tokens])
        turns = (*turns, assistant(reply.content))
        print(f"agent > {reply.content}")


if __name__ == "__main__":
    tyro.cli(main)
