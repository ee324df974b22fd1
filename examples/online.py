"""Trains an agent on logs and then on live episodes, by the same call.

python examples/online.py
"""

import gymnasium as gym
import tyro

from agents import AWR, LM, AWRConfig, Live, Logged, Mixed
from lang_envs import rollout
from lang_envs.policies.movie_review import Reviewer
from lang_envs.seeds import EVALUATION, RECORDING


def main(steps: int = 200) -> None:
    """Learns from a log, then from a mixture, then from its own episodes alone.

    Args:
        steps: optimiser steps in each phase.
    """
    env = gym.make_vec("MovieReview-v0", num_envs=64)
    logged, live = Logged(list(rollout(env, Reviewer(env.task), RECORDING.episodes(1000)))), Live(env)
    agent = AWR(LM.from_scratch("d64-l2", env), AWRConfig())
    phases = {"logged": logged, "half of each": Mixed(logged, live, logged_fraction=0.5), "live": live}
    for name, source in phases.items():
        agent.learn(source, steps, lr=1e-3, batch_size=32)
        played = list(rollout(env, agent.policy(), EVALUATION.episodes(256)))
        print(f"{name:12s}  the agent earns {sum(e.ret for e in played) / len(played):+.2f}")
    print(f"It played {live.played} episodes to learn.")


if __name__ == "__main__":
    tyro.cli(main)
