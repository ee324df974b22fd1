"""Adds a task: its rules over text. Tokens, spaces, batching, recording and learning follow from them.

python examples/new_task.py
"""

import gymnasium as gym
import numpy as np
import tyro

from agents import ILQL, LM, ILQLConfig, Logged
from lang_envs import Reply, Task, Turn, check_env, register, rollout
from lang_envs.seeds import EVALUATION, RECORDING
from lang_envs.tokenizers import word_tokenizer
from lang_envs.utterances import spell

PRICES = [str(price) for price in range(1, 10)]


class Haggle(Task[tuple[int, int]]):
    """Sell a lamp for as much as the buyer has. Who asks too much is refused, and has three attempts."""

    max_turns, max_utterance_tokens, max_tokens = 3, 2, 12

    def tokenizer(self):
        """Every word is a token."""
        return word_tokenizer([*PRICES, "how", "much?", "no", "<end>", "<pad>"], end_token="<end>", pad_token="<pad>")

    def begin(self, rng):
        """The state is what the buyer has, 1 to 9, and which attempt it is; the seller is asked for a price."""
        return (int(rng.integers(1, 10)), 1), "how much?"

    def reply(self, state, utterance, rng):
        """Any text may be said; what is no price sells nothing."""
        budget, attempt = state
        price = int(utterance) if utterance in PRICES else 10
        sold = price <= budget
        over = sold or attempt == self.max_turns
        return Reply((budget, attempt + 1), "" if over else "no", price if sold else 0, over, {"sold": sold})


class AnyPrice:
    """A policy: one utterance for each history, by chance from the generator of its episode."""

    def __init__(self, task: Task) -> None:
        self.said = [spell(task.tokenizer(), price, task.max_utterance_tokens) for price in PRICES]

    def act(self, histories, rngs):
        """Says any price."""
        return [Turn(self.said[rng.integers(len(PRICES))]) for rng in rngs]


def main(steps: int = 600, episodes: int = 4000) -> None:
    """Checks the task, logs sellers who ask any price, and learns to haggle from them.

    Args:
        steps: optimiser steps.
        episodes: how many are logged.
    """
    register("Haggle-v0", task="new_task:Haggle")
    check_env("Haggle-v0")
    print("Haggle-v0 is a sound environment.")

    env = gym.make_vec("Haggle-v0", num_envs=256)
    logs = list(rollout(env, AnyPrice(env.task), RECORDING.episodes(episodes)))
    print(f"Asking any price earns {np.mean([e.ret for e in logs]):.2f} on average.")

    agent = ILQL(LM.from_scratch("d64-l2", env), ILQLConfig(gamma=1.0))
    agent.learn(Logged(logs), steps, lr=2e-3)
    played = list(rollout(env, agent.policy(greedy=True, advantage_weight=8), EVALUATION.episodes(500)))
    print(f"The agent earns {np.mean([e.ret for e in played]):.2f} on average. Three times:")
    for episode in played[:3]:
        print(f"  {env.tokenizer.decode(episode.tokens)}  {episode.ret:+.0f}")


if __name__ == "__main__":
    tyro.cli(main)
