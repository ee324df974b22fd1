"""Wordle in the native vector environment: 1,024 games, 2,268 words, a pre-drawn stream of random words, one thread."""

import sys
import time

import gymnasium as gym
import numpy as np
import pytest

from lang_envs.tasks.wordle import Wordle
from lang_envs.tasks.wordle_game import END, VOCABULARY
from lang_envs.tasks.wordle_patterns import WordList

# The processor's clock: what other processes take of the machine does not count.
pytestmark = pytest.mark.benchmark(timer=time.process_time)
NUM_ENVS, TURNS = 1024, 60


def word_stream(task, turns, num_envs):
    """Random words of the list, token by token: [turns * 6, num_envs]."""
    places = np.random.default_rng(0).integers(len(task.words), size=(turns, num_envs))
    letters = task.lexicon.letters[:, places].transpose(1, 0, 2)  # [turns, 5, N]
    ends = np.full((turns, 1, num_envs), VOCABULARY[END])
    return np.concatenate([letters, ends], axis=1).reshape(-1, num_envs).astype(np.int64)


def play(env, stream):
    """Steps through the stream; the episodes that ended and the tokens that were said."""
    episodes = 0
    for actions in stream:
        _, _, terminated, _, _ = env.step(actions)
        episodes += np.count_nonzero(terminated)
    return episodes, stream.size


def report(benchmark, name, episodes, tokens):
    seconds = benchmark.stats.stats.min
    benchmark.extra_info |= {"episodes_per_s": round(episodes / seconds), "token_steps_per_s": round(tokens / seconds)}
    sys.stdout.write(f"\n{name}: {episodes / seconds:,.0f} episodes/s, {tokens / seconds / 1e6:.2f}M token steps/s\n")


def run(benchmark, **options):
    env = gym.make_vec("Wordle-v0", NUM_ENVS, autoreset_mode=gym.vector.AutoresetMode.SAME_STEP, copy=False, **options)
    stream = word_stream(env.unwrapped.task, TURNS, NUM_ENVS)
    env.reset(seed=0)
    env.unwrapped.task.lexicon.patterns(env.unwrapped.task.feedback)  # made once for each word list
    episodes, tokens = benchmark.pedantic(play, (env, stream), rounds=5, warmup_rounds=1)
    assert episodes > 0.9 * NUM_ENVS * TURNS / 6
    if benchmark.enabled:
        report(benchmark, f"Wordle-v0 {options or ''}", episodes, tokens)


def test_token_steps_of_the_official_game(benchmark):
    run(benchmark)


def test_token_steps_where_the_hidden_word_is_drawn_at_every_turn(benchmark):
    run(benchmark, feedback="simple", hidden="resample", require_dictionary=False)


def test_feedback_matrix(benchmark):
    words = Wordle().words
    matrix = benchmark.pedantic(lambda: WordList(words).patterns("official"), rounds=5)
    assert matrix.shape == (len(words), len(words))
