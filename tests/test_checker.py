import random
import warnings

import gymnasium as gym
import numpy as np
import pytest
from guess_task import Guess

from lang_envs import Turn, check_env
from lang_envs.make import needed_options, task_class
from lang_envs.scores import expert

OURS = [name for name, spec in gym.registry.items() if str(spec.entry_point).startswith("lang_envs.")]
# One that is made of files is checked on a few of them by its own tests: each process of a check reads them anew.
IDS = [name for name in OURS if not needed_options(name) and not task_class(name).needs_corpus]


@pytest.mark.parametrize("name", IDS)
def test_every_registered_environment_is_sound(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(name, expert=expert(name))


def test_all_our_ids_are_tested():
    assert {"MovieReview-v0", "Wordle-v0", "Wordle-Paper-v0"} <= set(IDS)
    assert {*OURS} - {*IDS} == {"Logs-v0", "MultiWOZ-Goal-v0"}  # tests/test_logs.py, tests/test_multiwoz_goal.py


def test_an_expert_must_beat_chance():
    class Silent:
        def act(self, histories, rngs):
            return [Turn(np.array([1], np.int32)) for _ in histories]

    with pytest.raises(ValueError, match=r"Silent earns -2\.000, mostly legal random tokens"):
        check_env("MovieReview-v0", expert=Silent())


class GlobalChance(Guess):
    def reply(self, state, utterance, rng):
        random.random()
        return super().reply(state, utterance, rng)


class GlobalNumpyChance(Guess):
    def begin(self, rng):
        np.random.random()  # noqa: NPY002  # this is what must be found
        return super().begin(rng)


class OwnChance(Guess):
    """Draws from a generator of its own, so a seed does not repeat."""

    rng = np.random.default_rng(0)

    def begin(self, rng):
        return super().begin(self.rng)


class HashOrder(Guess):
    """Draws from a set, whose order differs from one process to the next."""

    def begin(self, rng):
        (_, turn), text = super().begin(rng)
        return (list(set("abcdefgh"))[rng.integers(8)], turn), text


class Misspelled(Guess):
    """Its texts hold what its tokenizer cannot spell."""

    def begin(self, rng):
        return super().begin(rng)[0], "Say a letter"


class OtherInBatch(Guess):
    """Scores a batch by other rules than a single episode."""

    def reply_batch(self, states, utterances, rngs):
        replies = super().reply_batch(states, utterances, rngs)
        return [type(r)(r.state, r.text, r.reward - 1, r.terminated, r.info) for r in replies]


class Remembers(Guess):
    """Keeps a state of its own between episodes."""

    count = 0

    def begin(self, rng):
        self.count += 1
        state, text = super().begin(rng)
        return ("abcdefgh"[self.count % 8], state[1]), text


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (GlobalChance, "global random generator"),
        (GlobalNumpyChance, "global random generator"),
        (OwnChance, "gymnasium's checker|played twice"),
        (HashOrder, "in another process"),
        (Misspelled, "the tokenizer turns the task's text 'Say a letter' into"),
        (OtherInBatch, "another episode in a vector of 1"),
        (Remembers, "gymnasium's checker|played twice"),
    ],
)
def test_unsound_tasks_are_found(task, message):
    name = f"{task.__name__}-v0"
    gym.register(
        name,
        entry_point="lang_envs.make:make_env",
        vector_entry_point="lang_envs.make:make_vec_env",
        kwargs={"task": f"{__name__}:{task.__name__}"},
    )
    try:
        with pytest.raises(ValueError, match=message):
            check_env(name)
    finally:
        del gym.registry[name]


def test_a_third_partys_task_passes():
    gym.register(
        "Guess-v0",
        entry_point="lang_envs.make:make_env",
        vector_entry_point="lang_envs.make:make_vec_env",
        kwargs={"task": "guess_task:Guess"},
    )
    try:
        check_env("Guess-v0", max_turns=2, max_utterance_tokens=2, max_tokens=9)
    finally:
        del gym.registry["Guess-v0"]


def test_what_is_no_language_environment_is_refused():
    with pytest.raises(ValueError, match=r"register lang_envs.make:make_env|level"):
        check_env("CartPole-v1")


def test_a_spec_that_fits_no_json_is_refused():
    gym.register(
        "Object-v0",
        entry_point="lang_envs.make:make_env",
        vector_entry_point="lang_envs.make:make_vec_env",
        kwargs={"task": Guess()},
    )
    try:
        with pytest.raises(ValueError, match="must fit in JSON"):
            check_env("Object-v0")
    finally:
        del gym.registry["Object-v0"]
