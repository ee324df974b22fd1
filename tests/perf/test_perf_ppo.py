"""The time of PPO through stable-baselines3: collecting relative to our rollout, and learning by episodes or by tokens.

A model that was trained to spell words plays Wordle, with 64 rows, one game in each, d128-l2, float32, one thread. The
library asks for one token of every row at a time and passes whole histories; the case "whole histories" reads them
again for each token.
"""

import sys
import time

import numpy as np
import pytest
import torch

pytest.importorskip("sb3_contrib", reason="the extra ppo is not installed")

from stable_baselines3 import PPO as LibraryPPO

from agents import BC, LM, PPO, Live, Logged, PPOConfig
from agents.sb3 import learner
from agents.sb3.actor_critic import Reader
from agents.sb3.buffer import TokenBuffer
from lang_envs import rollout
from lang_envs.make import language_vec
from lang_envs.policies.wordle import RandomValid

SIZE, ROWS, GAMES, ROUNDS = "d128-l2", 64, 1, 4


def whole_histories(reader, input_ids, length):
    """In the place of ``Reader.read``."""
    ids, last = torch.from_numpy(input_ids[:, : length.max()]), torch.from_numpy(length - 1)
    return reader.network(ids, torch.arange(len(ids)), last)


def shuffled_tokens(buffer, batch_size=None):
    """In the place of ``TokenBuffer.get``: what the library's own buffer does, a history for every token."""
    order = buffer.rng.permutation(buffer.buffer_size * buffer.n_envs)
    for k in np.array_split(order, buffer.minibatches):
        step, row = k % buffer.buffer_size, k // buffer.buffer_size
        position = buffer.observations["attention_mask"][step, row].sum(-1, dtype=np.int64) - 1
        samples = buffer._episodes(np.arange(1))
        at = (step, row)
        yield samples._replace(
            observations={
                "input_ids": torch.from_numpy(buffer.observations["input_ids"][at]),
                "row": torch.arange(len(k)),
                "position": torch.from_numpy(position),
            },
            **{
                name: torch.from_numpy(getattr(buffer, source)[at])
                for name, source in {
                    "actions": "actions",
                    "old_values": "values",
                    "old_log_prob": "log_probs",
                    "advantages": "advantages",
                    "returns": "returns",
                }.items()
            },
        )


def test_collecting_and_learning(benchmark, monkeypatch):
    torch.set_num_threads(1)
    env = language_vec("Wordle-v0", ROWS)
    lm = LM.from_scratch(SIZE, env)
    BC(lm).learn(Logged(list(rollout(env, RandomValid(env.task), range(512)))), 120, lr=2e-3, batch_size=32)
    agent, live = PPO(lm, PPOConfig(epochs=1, rollout_tokens=36 * GAMES)), Live(env)
    agent.learn(live, 1, lr=0.0)
    seconds, tokens = {}, 36 * GAMES * ROWS

    def timed(name, call):
        def run(*arguments, **keywords):
            start = time.process_time()
            result = call(*arguments, **keywords)
            seconds.setdefault(name, []).append(time.process_time() - start)
            return result

        return run

    def own():
        start = time.process_time()
        said = sum(e.is_action.sum() for e in rollout(env, agent.policy(), range(ROWS * GAMES)))
        seconds.setdefault("own rollout", []).append((time.process_time() - start) * tokens / said)

    def iteration(collect, learn):
        with monkeypatch.context() as patch:
            if collect == "whole histories":
                patch.setattr(Reader, "read", whole_histories)
            if learn == "shuffled tokens":
                patch.setattr(TokenBuffer, "get", shuffled_tokens)
            patch.setattr(LibraryPPO, "collect_rollouts", timed(f"collect, {collect}", LibraryPPO.collect_rollouts))
            patch.setattr(LibraryPPO, "train", timed(f"learn, {learn}", LibraryPPO.train))
            reference = TokenBuffer.compute_returns_and_advantage
            patch.setattr(TokenBuffer, "compute_returns_and_advantage", timed("penalty (part of collect)", reference))
            agent.learn(live, 1, lr=0.0)

    for i in range(ROUNDS):
        own()
        iteration("cached", "episodes")
        if i == 0:
            iteration("whole histories", "shuffled tokens")
    best = {name: min(times) for name, times in seconds.items()}
    for name, took in best.items():
        sys.stdout.write(f"{SIZE}  {name:28s} {tokens / took:8.0f} tokens/s  {best['own rollout'] / took:5.2f}\n")
    benchmark.pedantic(learner.most_actions, (env,), rounds=1)
    assert best["collect, cached"] / best["own rollout"] <= 1.5
    assert best["learn, shuffled tokens"] / best["learn, episodes"] > 5
