"""Adds an algorithm: a configuration and a loss. Sources, loop, checkpoints, decoding and saving exist already.

The algorithm is REINFORCE (Williams 1992): it makes the good ones of the episodes that the agent has just played
likelier.

python examples/new_agent.py
"""

from dataclasses import dataclass

import gymnasium as gym
import torch
import tyro

from agents import BC, LM, Agent, Batch, Live, Logged
from agents.reference import logprobs
from lang_envs import rollout
from lang_envs.policies.movie_review import Reviewer
from lang_envs.seeds import EVALUATION, RECORDING


@dataclass
class ReinforceConfig:
    """What REINFORCE leaves open."""

    gamma: float = 1.0
    """discount per token"""


class Reinforce(Agent):
    """L = -(G - mean of G) log pi(a | s), where G is what an episode earned from the token on."""

    name = "reinforce"
    config: ReinforceConfig

    def loss(self, batch: Batch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The loss above, and what is logged beside it; both are means over the agent's tokens."""
        logp = logprobs(self.model, batch)  # [B, A]
        returns = batch.returns_to_go(self.config.gamma)  # [B, A]
        advantage = returns - batch.mean(returns)  # [B, A]
        loss = -batch.mean(advantage * logp)
        return loss, {"loss/reinforce": loss.detach(), "policy/logp": batch.mean(logp.detach())}


def main(steps: int = 60) -> None:
    """Clones logged reviews, then improves on them by writing reviews.

    Args:
        steps: optimiser steps on live episodes.
    """
    env = gym.make_vec("MovieReview-v0", num_envs=64)
    lm = LM.from_scratch("d64-l2", env)

    def earned() -> float:
        return sum(e.ret for e in rollout(env, agent.policy(), EVALUATION.episodes(256))) / 256

    logs = list(rollout(env, Reviewer(env.task), RECORDING.episodes(1000)))
    agent: Agent = BC(lm).learn(Logged(logs), 2 * steps, lr=2e-3)
    print(f"cloned     {earned():+.2f}")
    agent = Reinforce(lm).learn(Live(env), steps, lr=1e-3)  # of the same model: it is trained in place
    print(f"reinforced {earned():+.2f}")


if __name__ == "__main__":
    tyro.cli(main)
