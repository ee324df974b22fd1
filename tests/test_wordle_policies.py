"""Wordle's scripted policies: their guesses, which depend on their own generator alone, and their returns."""

import gymnasium as gym
import numpy as np
import pytest

from lang_envs import Start, Turn, rollout
from lang_envs.policies.any_task import Mixture, RandomTokens, Say
from lang_envs.policies.wordle import (
    START_WORDS,
    Optimal,
    RandomConsistent,
    RandomLegal,
    RandomMixture,
    RandomValid,
    Repeat,
    StartWord,
)
from lang_envs.policies.wordle_histories import read
from lang_envs.policies.wordle_monte_carlo import MonteCarlo
from lang_envs.tasks.wordle import Wordle
from lang_envs.tasks.wordle_game import VOCABULARY, WordleState
from lang_envs.tasks.wordle_patterns import colours

WORDS = ("arose", "abbey", "kebab", "eerie", "geese", "crane", "raise", "stare", "zesty", "lemon", "melon", "speed")
TASK = Wordle(WORDS)


def history(text):
    return np.array(TASK.tokenizer()(text)["input_ids"], np.int32)


def words(turns):
    """The words of utterances, their end tokens taken off."""
    assert all(turn.tokens[-1] == VOCABULARY["</a>"] for turn in turns)
    return [TASK.tokenizer().decode(turn.tokens[:-1]) for turn in turns]


def said(policy, text, n=400):
    """How often each word is said after a history, over ``n`` seeds."""
    turns = policy.act([history(text)] * n, [np.random.default_rng(seed) for seed in range(n)])
    found, counts = np.unique(words(turns), return_counts=True)
    return dict(zip(found.tolist(), counts.tolist(), strict=True))


def is_uniform(counts, over):
    n = sum(counts.values())
    expected = n / len(over)
    return sorted(counts) == sorted(over) and all(abs(c - expected) < 5 * np.sqrt(expected) for c in counts.values())


# Histories


def test_reading_histories_with_and_without_invalid_guesses():
    games = read(
        [
            history("<a>"),
            history("<a>arose</a><b><y><b><b><g></s>"),
            history("<a>xyz</a>arose</a><b><y><b><b><g></s>"),
            history("<a>abc</a>abc</a>abc</a>"),  # as long as one valid turn
            history("<a>arosex" + "crane</a><g><g><b><y><b></s>"),  # cut at six tokens
            history("<a>ab<g>de</a>"),
            history("<a>aaaaa</a>"),  # five letters, not in the list
        ]
    )
    assert games.turns.tolist() == [0, 1, 2, 3, 2, 1, 1]
    assert games.answered.T.tolist() == [
        [False] * 3,
        [True, False, False],
        [False, True, False],
        [False] * 3,
        [False, True, False],
        [False] * 3,
        [False] * 3,
    ]
    assert colours(int(games.patterns[0, 1])) == colours(int(games.patterns[1, 2])) == "bybbg"
    assert colours(int(games.patterns[1, 4])) == "ggbyb"
    assert "".join(chr(97 + c) for c in games.letters[:, 1, 4]) == "crane"


@pytest.mark.parametrize("tokens", [[], [1, 2], [VOCABULARY["<s>"]]])
def test_reading_what_is_no_game(tokens):
    with pytest.raises(ValueError, match="begins with"):
        read([np.array(tokens, np.int32)])


@pytest.mark.parametrize("rule", ["official", "simple"])
def test_consistent_words_are_the_tasks(rule):
    task = Wordle(WORDS, feedback=rule, require_dictionary=False)
    env = gym.make_vec("Wordle-v0", 16, words=WORDS, feedback=rule, require_dictionary=False)
    policy = Mixture(0.7, RandomValid(task), RandomLegal(task))
    for episode in rollout(env, policy, range(30)):
        tokens = episode.tokens[: np.flatnonzero(episode.is_action)[-1] - 5]  # before the last guess
        games = read([tokens])
        state = WordleState(
            guesses=tuple("".join(chr(97 + c) for c in games.letters[:, k, 0]) for k in range(len(games.answered))),
            feedback=tuple(colours(int(pattern)) for pattern in games.patterns[:, 0]),
        )
        np.testing.assert_array_equal(games.consistent(task.lexicon, rule)[0], task.consistent(state))


# What each policy says


AFTER_CRANE = "<a>crane</a><b><b><b><b><y></s>"  # an e, not last; no c, r, a, n
CONSISTENT = ("zesty", "speed")


def test_random_policies():
    assert is_uniform(said(RandomValid(TASK), AFTER_CRANE), WORDS)
    assert is_uniform(said(RandomConsistent(TASK), "<a>"), WORDS)
    assert is_uniform(said(RandomConsistent(TASK), AFTER_CRANE), CONSISTENT)
    mixed = said(RandomMixture(TASK, 0.5), AFTER_CRANE, 2000)
    assert abs(mixed["zesty"] + mixed["speed"] - 2000 * (0.5 + 0.5 / 6)) < 5 * np.sqrt(500)


def test_start_words():
    opening = set(START_WORDS) & set(WORDS)
    assert len(START_WORDS) == 28
    assert is_uniform(said(StartWord(TASK), "<a>"), opening)
    assert is_uniform(said(Optimal(TASK), "<a>"), opening)
    assert is_uniform(said(StartWord(TASK), AFTER_CRANE), CONSISTENT)  # none of the 28 agrees
    assert is_uniform(said(Optimal(Wordle(["lemon", "melon"])), "<a>"), ["lemon", "melon"])


def test_optimal_guesses_the_most_informative_consistent_word():
    def cost(word, words):
        left = {}
        for hidden in words:
            left[marks(word, hidden)] = left.get(marks(word, hidden), 0) + 1
        return sum(n * np.log(n) for n in left.values())

    def marks(word, hidden):
        rule, number = TASK.lexicon.patterns("official"), TASK.words.index
        return rule[number(word), number(hidden)]

    costs = {word: cost(word, WORDS) for word in WORDS}
    best = [word for word in WORDS if costs[word] < min(costs.values()) + 1e-9]
    assert len(best) < len(WORDS)
    assert is_uniform(said(Optimal(TASK, "greedy"), "<a>"), best)
    assert is_uniform(said(Optimal(TASK, "greedy"), AFTER_CRANE), CONSISTENT)


def test_optimal_ties_are_drawn():
    task = Wordle(["aaaaa", "bbbbb", "ccccc"])
    assert is_uniform(said(Optimal(task, "greedy"), "<a>"), task.words)


def test_repeat_says_its_own_words_again():
    text = AFTER_CRANE + "zesty</a><b><g><b><b><b></s>" + "speed</a><b><b><g><b><b></s>"
    assert is_uniform(said(Repeat(TASK, 2), text), ["crane", "zesty"])
    assert is_uniform(said(Repeat(TASK), text), ["crane", "zesty", "speed"])
    assert set(said(Repeat(TASK), "<a>")) <= set(START_WORDS)
    assert said(Repeat(TASK, 1), "<a>xx</a>qqqqq</a><b><b><b><b><b></s>", 5) == {"qqqqq": 5}  # unlisted words as well


def test_random_legal_tokens_spell_words():
    assert sorted(said(RandomLegal(TASK), "<a>", 2000)) == sorted(WORDS)
    # Letter by letter, not word by word: "l" and "m" open one word each, and so does "c", but "a" opens two.
    counts = said(RandomLegal(TASK), "<a>", 5000)
    assert abs(counts["lemon"] - 500) < 5 * np.sqrt(500)
    assert abs(counts["arose"] - 250) < 5 * np.sqrt(250)
    free = Wordle(WORDS, require_dictionary=False)
    assert len(said(RandomLegal(free), "<a>", 50)) == 50


def test_mixture_draws_for_each_utterance():
    counts = said(Mixture(0.25, Repeat(TASK), RandomConsistent(TASK)), AFTER_CRANE, 2000)
    assert abs(counts["crane"] - 500) < 5 * np.sqrt(375)


def test_policies_for_any_task():
    assert said(Say("melon", TASK), AFTER_CRANE, 3) == {"melon": 3}
    turns = RandomTokens(TASK).act([history("<a>")] * 2000, [np.random.default_rng(seed) for seed in range(2000)])
    end = VOCABULARY["</a>"]
    assert all(len(turn.tokens) == 6 or turn.tokens[-1] == end for turn in turns)
    assert not any((turn.tokens[:-1] == end).any() for turn in turns)
    first = np.bincount([turn.tokens[0] for turn in turns], minlength=35)
    assert (np.abs(first - 2000 / 35) < 5 * np.sqrt(2000 / 35)).all()


def test_monte_carlo_finds_the_better_word():
    policy = MonteCarlo(200, RandomMixture(TASK, 0.5), TASK)
    assert set(said(policy, AFTER_CRANE, 3)) <= set(CONSISTENT)


def test_monte_carlo_beats_the_policy_it_plays_with():
    env = gym.make_vec("Wordle-Paper-v0", 16, words="english-100")
    task = env.unwrapped.task
    base = RandomMixture(task, 0.5)
    weak = np.mean([episode.ret for episode in rollout(env, base, range(300))])
    strong = np.mean([episode.ret for episode in rollout(env, MonteCarlo(12, base, task), range(32))])
    assert strong > weak + 0.3


def everyone(task):
    return {
        "RandomValid": RandomValid(task),
        "RandomConsistent": RandomConsistent(task),
        "StartWord": StartWord(task),
        "Optimal": Optimal(task),
        "Repeat": Repeat(task, 2),
        "RandomMixture": RandomMixture(task, 0.5),
        "RandomLegal": RandomLegal(task),
        "MonteCarlo": MonteCarlo(3, RandomConsistent(task), task),
    }


@pytest.mark.parametrize("name", everyone(TASK))
def test_an_episode_depends_on_its_seed_alone(name):
    alone, together = gym.make_vec("Wordle-v0", 1, words=WORDS), gym.make_vec("Wordle-v0", 5, words=WORDS)
    seeds = range(9)
    first = list(rollout(alone, everyone(TASK)[name], seeds))
    second = list(rollout(together, everyone(TASK)[name], seeds))
    assert all(a.same_as(b) for a, b in zip(first, second, strict=True))


def test_another_lists_feedback_is_refused():
    with pytest.raises(ValueError, match="another word list"):
        RandomConsistent(TASK).act([history("<a>crane</a><g><g><g><g><y></s>")], [np.random.default_rng(0)])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Optimal(TASK, "best"), "first_word"),
        (lambda: Repeat(TASK, 0), "first_n"),
        (lambda: RandomMixture(TASK, 1.5), "probability"),
        (lambda: MonteCarlo(0, RandomValid(TASK), TASK), "n must be"),
    ],
)
def test_bad_options(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# What they score: the packaged list's analogue of the paper's word lists (tests/real has those)


@pytest.mark.parametrize(
    ("make", "expected", "games"),
    [
        (Optimal, -2.705, 1500),
        (RandomConsistent, -3.171, 1500),
        (lambda task: RandomMixture(task, 0.5), -4.258, 2000),
        (RandomValid, -5.991, 1500),
    ],
    ids=["optimal", "random consistent", "mixture", "random valid"],
)
def test_reference_returns(make, expected, games):
    env = gym.make_vec("Wordle-Paper-v0", 256)
    returns = [episode.ret for episode in rollout(env, make(env.unwrapped.task), range(games))]
    error = np.std(returns) / np.sqrt(games)
    assert abs(np.mean(returns) - expected) < 4 * error


def test_a_branched_trap_is_always_lost():
    env = gym.make_vec("Wordle-v0", 8)
    task = env.unwrapped.task
    opening = RandomConsistent(task)
    for seed in range(10):
        (game,) = rollout(env, opening, [seed])
        actions = game.tokens[game.is_action].reshape(-1, 6)
        if len(actions) < 3:
            continue
        starts = [Start(seed, policy_seed, [actions[0], actions[1]]) for policy_seed in range(5)]
        for branch in rollout(env, Repeat(task, 2), starts):
            assert branch.rewards.sum() == -6
            assert {row.tobytes() for row in branch.tokens[branch.is_action].reshape(-1, 6)} <= {
                row.tobytes() for row in actions[:2]
            }


def test_turns_are_not_shared_between_policies_by_mistake():
    turn = RandomValid(TASK).act([history("<a>")], [np.random.default_rng(0)])[0]
    assert isinstance(turn, Turn)
    with pytest.raises(ValueError, match="read-only"):
        turn.tokens[0] = 0
