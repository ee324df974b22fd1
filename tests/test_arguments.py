"""Odd arguments of make, reset and step are refused in words at both levels, alone and in vectors."""

from inspect import signature

import gymnasium as gym
import numpy as np
import pytest
from guess_task import TOKENS, Guess
from test_contexts import Echo

from lang_envs import Task, TokenEnv, TokenVectorEnv, UtteranceEnv
from lang_envs.make import _find, make_env, make_vec_env, needed_options

LARGE = 2**64
HUGE = 10**5000  # more digits than Python spells
ODD = [1.5, True, "x", b"x", None, [], ["a"], {}, (1,), HUGE, -HUGE, -1, LARGE, 1j, object(), np.nan, np.float32(1)]
ODD += [np.True_, np.array([[1]]), np.array(["a"]), np.array(1, object), np.datetime64("2020"), np.ma.masked, "\ud800"]
ENVS = [TokenEnv, UtteranceEnv, lambda task: TokenVectorEnv(task, 3)]
NAMES = ["tokens", "texts", "vector"]


def says_why(call):
    """The message of a refusal; anything but a ValueError or TypeError in words of this package's is a failure."""
    try:
        call()
    except (ValueError, TypeError) as error:
        foreign = (
            "not supported between",
            "object is not",
            "has no attribute",
            "unhashable",
            "ambiguous",
            "limit (4300",
        )
        assert str(error) and not any(words in str(error) for words in foreign), str(error)
        return str(error)
    return None


@pytest.mark.parametrize("make", ENVS, ids=NAMES)
@pytest.mark.parametrize("task", [Guess, Echo])
def test_every_odd_option_of_a_reset_is_refused(make, task):
    env = make(task())
    env.reset(seed=0)
    for odd in (odd for odd in ODD if odd is not None):
        if odd is not HUGE and odd is not LARGE:  # no seed is too large
            assert "seed" in says_why(lambda odd=odd: env.reset(seed=odd)), odd
        assert "context" in says_why(lambda odd=odd: env.reset(options={"context": odd})), odd
        if not isinstance(odd, dict):
            assert "options of a reset are a dictionary" in says_why(lambda odd=odd: env.reset(options=odd))
    env.reset(seed=np.uint8(3), options={"context": np.int64(1)} if task is Echo else {"context": None})
    env.reset(seed=2**70, options={})


@pytest.mark.parametrize("odd", [odd for odd in ODD if odd is not None], ids=lambda odd: type(odd).__name__)
def test_rows_are_masked_by_an_array_of_bools(odd):
    env = TokenVectorEnv(Guess(), 3)
    env.reset(seed=0)
    assert "options['reset_mask']" in says_why(lambda: env.reset(options={"reset_mask": odd}))


@pytest.mark.parametrize("values", [[0, "a", None], [0.5, 0, 0], [True, 0, 0], [0, 1], np.zeros((3, 1)), "abc", 5.0])
def test_lists_are_looked_at_one_by_one(values):
    env = TokenVectorEnv(Echo(), 3)
    assert says_why(lambda: env.reset(seed=values))
    assert says_why(lambda: env.reset(options={"context": values}))


def test_what_is_refused_changes_nothing():
    env, same = TokenVectorEnv(Echo(), 2), TokenVectorEnv(Echo(), 2)
    for each in (env, same):
        each.reset(seed=0, options={"context": 1})
    for wrong in ({"seed": [5, -1]}, {"options": {"context": [0, 99]}}, {"seed": 9, "options": {"context": "x"}}):
        with pytest.raises((ValueError, TypeError)):
            env.reset(**wrong)
    for _ in range(12):
        np.testing.assert_array_equal(env.step([5, 6])[0]["input_ids"], same.step([5, 6])[0]["input_ids"])
    np.testing.assert_array_equal(env.reset()[0]["input_ids"], same.reset()[0]["input_ids"])


@pytest.mark.filterwarnings("ignore:Warning. converting a masked element")
@pytest.mark.parametrize("make", ENVS, ids=NAMES)
def test_every_odd_action_is_refused(make):
    env = make(Guess())
    env.reset(seed=0)
    vector = isinstance(env, TokenVectorEnv)
    for odd in ODD:
        if isinstance(env, UtteranceEnv) and isinstance(odd, str) and odd == "x":
            continue
        assert says_why(lambda odd=odd: env.step(odd)), odd
        if vector:
            assert says_why(lambda odd=odd: env.step([0, odd, 0])), odd
            assert says_why(lambda odd=odd: env.step(np.array([odd] * 3, object))), odd
    env.step("a" if isinstance(env, UtteranceEnv) else np.zeros(3, np.uint8) if vector else np.uint64(1))


@pytest.mark.parametrize("option", ["max_tokens", "render_mode", "level"])
def test_every_odd_option_of_make_is_refused(option):
    for odd in ODD:
        if odd is not None or option == "level":
            assert option in says_why(lambda odd=odd: make_env(task=Guess(), **{option: odd})), odd
            assert option in says_why(lambda odd=odd: make_vec_env(task=Guess(), num_envs=2, **{option: odd})), odd


@pytest.mark.parametrize("option", ["num_envs", "max_episode_steps", "copy", "autoreset_mode"])
def test_every_odd_option_of_a_vector_is_refused(option):
    for odd in ODD:
        if (option == "copy" and isinstance(odd, (bool, np.bool_))) or (option == "max_episode_steps" and odd is None):
            continue
        made = says_why(lambda odd=odd: make_vec_env(task=Guess(), **({"num_envs": 2} | {option: odd})))
        assert made is not None or ((option == "max_episode_steps" and odd == HUGE) or odd == 2**64), odd


class Typed(Task):
    """A task whose options are annotated."""

    max_turns, max_utterance_tokens, max_tokens = 1, 2, 8

    def __init__(
        self,
        count: int = 1,
        share: float = 0.5,
        name: str | None = None,
        words: str | list[str] = "a",
        on: bool = False,
        rate=None,
    ):
        self.given = (count, share, name, words, on)

    def begin(self, rng):
        return None, "<say>"

    def reply(self, state, utterance, rng):
        raise NotImplementedError

    def tokenizer(self):
        return Guess().tokenizer()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"count": 1.0}, "Typed's count must be an integer, got 1.0"),
        ({"count": True}, "Typed's count must be an integer, got True"),
        ({"count": None}, "Typed's count must be an integer, got None"),
        ({"count": HUGE}, "at most 64 bits, got an integer of 16610 bits"),
        ({"share": "x"}, "Typed's share must be a number, got 'x'"),
        ({"share": float("nan")}, "Typed's share must be a number, got nan"),
        ({"share": np.ones(1)}, "Typed's share must be a number"),
        ({"name": 3}, "Typed's name must be a text or None, got 3"),
        ({"name": "\ud800"}, "half a character"),
        ({"on": 1}, "Typed's on must be True or False, got 1"),
    ],
)
def test_options_of_a_task_are_of_the_type_it_says(options, words):
    assert words in says_why(lambda: make_env(task=Typed, **options))


def test_numbers_of_numpy_are_numbers():
    task = make_env(task=Typed, count=np.int64(3), share=np.float32(0.5), on=np.True_, name=np.str_("x")).task
    assert task.given[:3] == (3, 0.5, "x") and type(task.given[0]) is int
    assert make_env(task=Typed, share=1, rate=object()).task.given[1] == 1


ours = (i for i, spec in gym.registry.items() if str(spec.entry_point).startswith("lang_envs"))
ids = sorted(i for i in ours if not needed_options(i))


@pytest.mark.parametrize("id", [i for i in ids if i.count("-") == 1 or i in ("Dialogue-BLEU-v0", "Reddit-Upvotes-v0")])
def test_every_option_of_every_task_refuses_what_is_none(id):

    usual = gym.spec(id).kwargs
    for option in signature(_find(usual["task"])).parameters:
        for odd in (object(), 1j, {"a": 1}, np.datetime64("2020"), HUGE):
            refused = says_why(lambda option=option, odd=odd: make_env(**(usual | {option: odd})))
            takes_any = option in ("user", "reward", "classifier") and type(odd) is object  # some class of its own
            assert takes_any or option in refused, (option, odd)


def test_stable_baselines_makes_them():
    pytest.importorskip("stable_baselines3")
    from stable_baselines3.common.env_util import make_vec_env as make_theirs

    env = make_theirs("MovieReview-v0", n_envs=2, seed=0)
    assert env.reset()["input_ids"].shape == (2, 16)
    _, rewards, dones, _ = env.step(np.array([1, TOKENS.index("a")]))
    assert rewards.shape == dones.shape == (2,)
    env.close()
    with pytest.raises(TypeError, match="render_mode must be 'ansi', 'human' or None, got 'rgb_array'"):
        gym.make("MovieReview-v0", render_mode="rgb_array")
