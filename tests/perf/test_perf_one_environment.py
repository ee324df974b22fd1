"""The time of a single environment: games of Wordle with six guesses, and the time that recording them adds.

Target: at either level as many games a second as TextArena's ``Wordle-v0-raw`` in the same run, which is not installed
here. At the token level it is 0.82 to 0.89 times as many. A game takes 36 steps of 0.6 us (0.25 us of a step for the
two arrays that it returns), six replies of 4 us, and 6 us for numpy's seeding.

Target of ``RecordEpisodes``: at least 0.3 times as fast as the bare environment (an episode's columns and its JSON take
most of the time). The time that it adds to a step of a vector must not grow with the number of episodes that are not
yet written.
"""

import sys
import time

import gymnasium as gym
import numpy as np
import pytest

from datasets_builders import RecordEpisodes
from lang_envs import TokenVectorEnv
from lang_envs.tasks.wordle import Wordle

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
        "checked": gym.make("Wordle-v0", level=level, disable_env_checker=False),
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


class Endless(Wordle):
    """Invalid guesses until the context is full."""

    max_turns = 10**6


def seconds_of_an_episode(longest, copy):
    env = TokenVectorEnv(Endless(), 16, max_tokens=longest, copy=copy)
    action, times = np.zeros(16, np.int64), []
    for _ in range(3):
        env.reset(seed=0)
        start = time.process_time()
        while not env.step(action)[3].any():
            pass
        times.append(time.process_time() - start)
    return min(times)


@pytest.mark.parametrize("copy", [False, True])
def test_whole_episodes_against_their_length(benchmark, copy):
    """Seconds of an episode of T tokens, T = 128 to 4096: T^1.08 with copies, which are bound by memory, else T."""
    longest = (128, 512, 2048, 4096) if benchmark.enabled else (32, 64)
    seconds = {n: seconds_of_an_episode(n, copy) for n in longest}
    exponent = np.log(seconds[longest[-1]] / seconds[longest[0]]) / np.log(longest[-1] / longest[0])
    told = ", ".join(f"{n}: {1e3 * taken:.1f} ms" for n, taken in seconds.items())
    sys.stdout.write(f"\ncopy={copy}: {told}; T^{exponent:.2f}\n")
    benchmark.pedantic(seconds_of_an_episode, (32, copy), rounds=1)
    if benchmark.enabled:
        assert exponent < (1.2 if copy else 1.1)
