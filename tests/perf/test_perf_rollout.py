"""Wordle played by a language model: ``LMPolicy`` relative to ``generate``, which reads the whole history at each turn.

256 games at once, by a model that was trained to spell words (BC, 120 steps), greedy, float32, one thread. The time is
that of ``rollout``, environment included. Both must play the same games, token for token.
"""

import sys
import time

import numpy as np
import pytest
import torch
from generating_policy import Generating

from agents import BC, LM, Logged
from lang_envs import rollout
from lang_envs.make import language_vec
from lang_envs.policies.wordle import RandomValid

GAMES, ROUNDS, TARGET, FLOOR = 256, 5, 2.0, 1.6


@pytest.mark.parametrize("size", ["d128-l2"])
def test_rollouts_against_generate(benchmark, size):
    torch.set_num_threads(1)
    env = language_vec("Wordle-v0", GAMES)
    lm = LM.from_scratch(size, env)
    agent = BC(lm).learn(Logged(list(rollout(env, RandomValid(env.task), range(512)))), 120, lr=2e-3, batch_size=32)
    players = {
        "LMPolicy": agent.policy(greedy=True),
        "generate": Generating(agent.model, lm.end_id, lm.pad_id, lm.max_utterance_tokens),
    }
    seconds, games = {name: [] for name in players}, {}
    for _ in range(ROUNDS):  # interleaved: other processes come and go
        for name, policy in players.items():
            start = time.process_time()
            games[name] = list(rollout(env, policy, range(GAMES)))
            seconds[name].append(time.process_time() - start)
    said = sum(episode.num_actions for episode in games["LMPolicy"])
    for name, times in seconds.items():
        sys.stdout.write(f"{size}  {name:10s} {min(times):6.2f} s  {said / min(times):8.0f} tokens/s\n")
    ratio = float(np.median(np.divide(seconds["generate"], seconds["LMPolicy"])))
    verdict = "met" if ratio >= TARGET else "missed"
    sys.stdout.write(f"{size}  {ratio:.2f} times as fast, median of {ROUNDS} rounds (target {TARGET:g}: {verdict})\n")
    benchmark.pedantic(lambda: list(rollout(env, players["LMPolicy"], range(GAMES))), rounds=1)
    assert all(a.tokens.tolist() == b.tokens.tolist() for a, b in zip(*games.values(), strict=True))
    assert ratio >= FLOOR
