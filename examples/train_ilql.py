"""Trains ILQL on logged games, with evaluations during training, a log, checkpoints, and a saved agent.

If you interrupt it and start it again, it continues from its last checkpoint, to the same weights.

python examples/train_ilql.py
tensorboard --logdir runs/wordle
"""

from collections.abc import Mapping
from pathlib import Path

import tyro

from agents import ILQL, LM, Agent, FitConfig, ILQLConfig, Logged, fit
from datasets_builders import EpisodeDataset, build
from lang_envs import rollout
from lang_envs.make import language_vec
from lang_envs.seeds import EVALUATION

WORDS = "english-30"


def main(
    steps: int = 2000,
    episodes: int = 20_000,
    data: Path = Path("data/wordle"),
    out: Path = Path("runs/wordle"),
    tensorboard: bool = False,
) -> None:
    """Learns Wordle on a short list of words from players of mixed skill, within minutes on one core.

    Args:
        steps: optimiser steps.
        episodes: how many games are logged.
        data: folder of the logs; recorded there where it does not exist.
        out: folder of the run.
        tensorboard: also log for TensorBoard.
    """
    env = language_vec("Wordle-v0", 64, words=WORDS)
    options = {"env_id": "Wordle-v0", "words": WORDS}
    logs = EpisodeDataset.load(data) if data.exists() else build("wordle-mixed", episodes, data, **options)
    print(f"The logged players earned {logs.returns.mean():.2f} on average.")

    def games(agent: Agent) -> Mapping[str, float]:
        played = list(rollout(env, agent.policy(greedy=True, advantage_weight=4), EVALUATION.episodes(256)))
        return {"return": sum(e.ret for e in played) / 256, "solved": sum(e.info["success"] for e in played) / 256}

    # What a guess earns is largely chance: the mean of what follows says more than an expectile.
    agent = ILQL(LM.from_scratch("d64-l2", env), ILQLConfig(tau=0.8, backup="utterance"))
    every = max(1, steps // 8)
    loop = FitConfig(
        lr=5e-3,
        log_every=every,
        eval_every=every,
        evaluators={"games": games},
        checkpoint_every=every,
        out=out,
        tensorboard=tensorboard,
    )
    for row in fit(agent, Logged(logs), steps, loop):
        earned = {name: row[f"eval/games/{name}"] for name in ("return", "solved")}
        print(f"step {row['step']:5.0f}  loss {row['loss']:.3f}  return {earned['return']:.2f}  {earned['solved']:.0%}")
    print(f"The agent is in {agent.save(out / 'agent')}. See what it thinks of logged games:")
    print(f"  lang-envs explain {out / 'agent'} --data {data}")


if __name__ == "__main__":
    tyro.cli(main)
