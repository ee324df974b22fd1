"""The whole loop: makes an environment, records episodes, trains an agent on them, and shows what the agent says.

python examples/quickstart.py
"""

from pathlib import Path

import gymnasium as gym
import tyro

from agents import ILQL, LM, ILQLConfig, Logged
from datasets_builders import EpisodeDataset, build
from lang_envs import rollout
from lang_envs.seeds import EVALUATION


def main(steps: int = 400, data: Path = Path("data/movie-review")) -> None:
    """Learns to review movies from logged reviews.

    Args:
        steps: optimiser steps.
        data: folder of the logs; recorded there where it does not exist.
    """
    env = gym.make_vec("MovieReview-v0", num_envs=64)  # tokens in, tokens out
    logs = EpisodeDataset.load(data) if data.exists() else build("movie-review", 2000, data)
    print(f"{len(logs)} logged reviews earned {logs.returns.mean():.2f} on average. One of them:")
    print(f"  {env.tokenizer.decode(logs[0].tokens)}  {logs[0].ret:+.1f}")

    agent = ILQL(LM.from_scratch("d64-l2", env), ILQLConfig(tau=0.99))
    agent.learn(Logged(logs), steps, lr=2e-3)

    [episode] = rollout(env, agent.policy(greedy=True, advantage_weight=32), EVALUATION.episodes(1))
    print("After training the agent writes:")
    print(f"  {env.tokenizer.decode(episode.tokens)}  {episode.ret:+.1f}")


if __name__ == "__main__":
    tyro.cli(main)
