"""The returns of the paper's scripted policies on the published word lists, and the lists themselves."""

import gymnasium as gym
import numpy as np
import pytest

from datasets_builders import build
from lang_envs import rollout
from lang_envs.policies.wordle import Optimal, RandomConsistent, RandomMixture, RandomValid
from lang_envs.tasks.wordle import Wordle


def greedy(task):
    return Optimal(task, first_word="greedy")


def mixture(task):
    return RandomMixture(task, 0.5)


# (file, policy, mean return, games): so many that three standard errors are below the tolerance of 0.03
RETURNS = [
    ("lmrl_wordle_official.txt", Optimal, -2.635, 8_000),
    ("lmrl_wordle_official.txt", greedy, -2.619, 8_000),
    ("lmrl_wordle_official.txt", RandomConsistent, -3.119, 12_000),
    ("lmrl_wordle_official.txt", mixture, -4.231, 22_000),
    ("lmrl_wordle_official.txt", RandomValid, -5.992, 2_000),
    ("lmrl_wordle_official_200.txt", Optimal, -1.846, 4_000),
    ("lmrl_wordle_official_200.txt", greedy, -1.746, 4_000),
    ("lmrl_wordle_official_200.txt", RandomConsistent, -2.130, 8_000),
    ("lmrl_wordle_official_200.txt", mixture, -3.199, 24_000),
    ("lmrl_wordle_official_200.txt", RandomValid, -5.915, 5_000),
]


@pytest.mark.parametrize(("file", "make", "expected", "games"), RETURNS)
def test_reference_returns(real_data, file, make, expected, games):
    env = gym.make_vec("Wordle-Paper-v0", 512, words=real_data / "wordle" / "words" / file)
    policy = make(env.unwrapped.task)
    returns = np.array([episode.ret for episode in rollout(env, policy, range(games))])
    assert 3 * returns.std() / np.sqrt(games) < 0.03
    assert abs(returns.mean() - expected) < 0.03


def test_lmrl_gyms_game_and_data_by_options(real_data, tmp_path):
    options = {"words": real_data / "wordle" / "words" / "lmrl_wordle_official_400.txt", "require_dictionary": True}
    game = gym.make("Wordle-Paper-v0", **options).unwrapped.task
    assert (game.feedback, game.hidden, game.require_dictionary, len(game.words)) == ("simple", "resample", True, 431)
    logs = build("wordle-mixed", 2000, tmp_path / "logs", progress=False, skills=(0.5,), **options)
    env = gym.make_vec("Wordle-Paper-v0", 512, **options)
    returns = [episode.ret for episode in rollout(env, mixture(env.unwrapped.task), range(2000))]
    assert logs.returns.mean() == pytest.approx(np.mean(returns), abs=0.15)
    assert logs.provenance["env"]["kwargs"]["require_dictionary"]


@pytest.mark.parametrize(
    ("file", "words", "skipped"),
    [
        ("lmrl_wordle_official.txt", 2315, 0),
        ("lmrl_wordle_official_guess.txt", 12972, 0),
        ("lmrl_wordle_official_200.txt", 236, 0),
        ("lmrl_wordle_official_400.txt", 431, 0),
        ("lmrl_wordle_official_800.txt", 826, 0),
        ("lmrl_tweet_words.txt", 40, 0),
        ("tabatkins_words.txt", 14855, 0),
        ("lmrl_10k_words.txt", 1379, 10_000 - 1379),
    ],
)
def test_word_files(real_data, file, words, skipped):
    task = Wordle(real_data / "wordle" / "words" / file)
    assert (len(task.words), task.skipped) == (words, skipped)


def test_the_official_rule_differs_on_a_share_of_pairs(real_data):
    lexicon = Wordle(real_data / "wordle" / "words" / "lmrl_wordle_official.txt").lexicon
    differ = lexicon.patterns("official") != lexicon.patterns("simple")
    assert differ.mean() == pytest.approx(0.091, abs=0.001)
