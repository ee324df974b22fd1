"""Visual dialogue on the built-in scenes in the native vector environment, one thread.

Target: 20,000 turns a second with whole questions; token by token the steps take as much time again.
"""

import sys
import time

import gymnasium as gym
import numpy as np
import pytest

from lang_envs.corpora.scenes.bank import bank
from lang_envs.make import language_vec
from lang_envs.utterances import spell

# The processor's clock: what other processes take of the machine does not count.
pytestmark = pytest.mark.benchmark(timer=time.process_time)
NUM_ENVS, TURNS = 1024, 40


def questions(env):
    """One wording of every question of the bank, as tokens."""
    return [spell(env.tokenizer, wordings[0], env.task.max_utterance_tokens) for wordings in bank().values()]


def report(benchmark, name, turns):
    if benchmark.enabled:
        per_second = turns / benchmark.stats.stats.min
        benchmark.extra_info["turns_per_s"] = round(per_second)
        sys.stdout.write(f"\n{name}: {per_second:,.0f} turns/s\n")


def test_whole_questions(benchmark):
    env = language_vec("VisualDialogue-v0", NUM_ENVS)
    asked, rows = questions(env), np.arange(NUM_ENVS)
    drawn = np.random.default_rng(0).integers(len(asked), size=(TURNS, NUM_ENVS))
    env.begin(rows, range(NUM_ENVS))

    def play():
        for turn in drawn.tolist():
            over = np.flatnonzero(env.finished)
            env.begin(over, [None] * len(over))
            env.say(rows, [asked[i] for i in turn])

    benchmark.pedantic(play, rounds=3, warmup_rounds=1)
    report(benchmark, "whole questions", drawn.size)


def test_token_by_token(benchmark):
    env = language_vec("VisualDialogue-v0", NUM_ENVS, autoreset_mode=gym.vector.AutoresetMode.SAME_STEP, copy=False)
    asked, rng = questions(env), np.random.default_rng(0)
    streams = [np.concatenate([asked[i] for i in rng.integers(len(asked), size=TURNS)]) for _ in range(NUM_ENVS)]
    shortest = min(map(len, streams))
    actions = np.stack([stream[:shortest] for stream in streams], axis=1)  # [S, N]
    env.reset(seed=0)
    benchmark.pedantic(lambda: [env.step(tokens) for tokens in actions], rounds=3, warmup_rounds=1)
    report(benchmark, "token by token", np.count_nonzero(actions == env.end_id))
