"""One environment, as other trainers step it: games of Wordle of six guesses, and what recording them adds.

Reach: at either level as many games a second as TextArena's ``Wordle-v0-raw`` in the same run, which is not installed
here: bound by what Python takes for a step, at the token level by the two arrays that each of 36 steps hands out.
``RecordEpisodes`` around it at least 0.3 times as fast as the bare environment (an episode's columns and its JSON take
most), and what it adds to a step of a vector must not grow with the episodes that wait to be written.
"""

import sys
import time

import gymnasium as gym
import numpy as np
import pytest

from datasets_builders import RecordEpisodes

WORDS = ["slate", "crony", "humid", "befog", "vapid", "jumpy"]
TOKENS = [token for word in WORDS for token in [*(ord(letter) - ord("a") for letter in word), 30]]
GAMES = 400


def play(env, said):
    steps = 0
    for seed in range(GAMES):
        env.reset(seed=seed)
        for action in said:
            _, _, terminated, truncated, _ = env.step(action)
            steps += 1
            if terminated or truncated:
                break
    return steps


@pytest.mark.parametrize(("level", "said"), [("token", TOKENS), ("utterance", WORDS)])
def test_games(benchmark, tmp_path, level, said):
    envs = {
        "gym.make": gym.make("Wordle-v0", level=level),
        "no checker": gym.make("Wordle-v0", level=level, disable_env_checker=True),
        "recorded": RecordEpisodes(gym.make("Wordle-v0", level=level), tmp_path / "d"),
    }
    best, steps = dict.fromkeys(envs, np.inf), {}
    for _ in range(5 if benchmark.enabled else 1):
        for name, env in envs.items():
            start = time.process_time()
            steps[name] = play(env, said)
            best[name] = min(best[name], time.process_time() - start)
    for name, seconds in best.items():
        rates = f"{GAMES / seconds:8,.0f} games/s, {steps[name] / seconds:9,.0f} steps/s"
        sys.stdout.write(f"\n{level:9s} {name:10s} {rates}")
    benchmark.pedantic(play, (envs["gym.make"], said), rounds=1)
    assert best["gym.make"] > 0.3 * best["recorded"]


def test_a_recorded_vector_of_one(benchmark, tmp_path):
    env = RecordEpisodes(gym.make_vec("Wordle-v0", 1, autoreset_mode="SameStep"), tmp_path / "d")
    actions = [np.array([token]) for token in TOKENS]
    env.reset(seed=0)
    seconds = []
    for _ in range(20 if benchmark.enabled else 1):
        start = time.process_time()
        for _ in range(20):
            for action in actions:
                env.step(action)
        seconds.append(time.process_time() - start)
    rate = 20 * len(actions) / min(seconds)
    sys.stdout.write(f"\na vector of one, recorded: {rate:,.0f} token steps/s\n")
    benchmark.pedantic(env.step, (actions[0],), rounds=1)
    if benchmark.enabled:
        assert np.median(seconds[-5:]) < 1.5 * np.median(seconds[:5])


@pytest.mark.parametrize("copy", [False, True])
def test_cost_against_length(benchmark, copy):
    """A step takes as long whatever max_tokens is with ``copy=False``; copies are bound by memory, N * T numbers."""
    seconds = {}
    for longest in (128, 512, 2048, 4096):
        env = gym.make_vec("Wordle-v0", 16, max_tokens=longest, copy=copy)
        action = np.zeros(16, np.int64)
        env.reset(seed=0)
        times = []
        for _ in range(7 if benchmark.enabled else 1):
            start = time.process_time()
            for _ in range(120):
                env.step(action)
            times.append((time.process_time() - start) / 120)
        seconds[longest] = min(times)
    sys.stdout.write(f"\ncopy={copy}: { ({n: f'{1e6 * s:.0f} us' for n, s in seconds.items()}) } a step\n")
    benchmark.pedantic(env.step, (action,), rounds=1)
    if benchmark.enabled and not copy:
        assert seconds[4096] < 2 * seconds[128]
