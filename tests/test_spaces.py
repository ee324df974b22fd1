from functools import partial

import gymnasium as gym
import numpy as np
import pytest
from guess_task import Guess

from lang_envs import Utterance, UtteranceEnv
from lang_envs.spaces import history_space


def test_contains_any_text_that_is_not_too_long():
    space = Utterance(5)
    assert all(text in space for text in ("", " ", "a b", "é\n🎬", "12345"))
    assert all(wrong not in space for wrong in ("123456", 3, None, b"abc", ["a"]))


def test_half_a_character_is_refused_in_words():
    env = UtteranceEnv(Guess())
    env.reset(seed=0)
    assert "\ud800" not in env.action_space
    with pytest.raises(ValueError, match=r"'\\ud800' holds half a character"):
        env.step("\ud800")
    env.step("a")  # nothing was said


def test_samples_lie_inside_repeat_with_the_seed_and_reach_the_limits():
    samples = [Utterance(3, seed=1).sample() for _ in range(2)]
    assert samples[0] == samples[1]
    space = Utterance(3, seed=0)
    drawn = [space.sample() for _ in range(200)]
    assert all(text in space for text in drawn)
    assert {len(text) for text in drawn} == {0, 1, 2, 3}


def test_equality_and_text_form():
    assert Utterance(5) == Utterance(5)
    assert Utterance(5) != Utterance(6)
    assert len({Utterance(5), Utterance(5)}) == 1
    assert repr(Utterance(5)) == "Utterance(5)"


def test_refuses_no_length_and_masks():
    with pytest.raises(ValueError, match="at least 1"):
        Utterance(0)
    with pytest.raises(ValueError, match="without mask"):
        Utterance(3).sample(mask=np.ones(3))


def make_envs(count):
    return [partial(UtteranceEnv, Guess()) for _ in range(count)]


def test_async_shared_memory_is_refused_not_stale():
    with pytest.raises(ValueError, match="shared_memory=False"):
        gym.vector.AsyncVectorEnv(make_envs(2))


def test_async_without_shared_memory_sees_what_sync_sees():
    sync = gym.vector.SyncVectorEnv(make_envs(2))
    apart = gym.vector.AsyncVectorEnv(make_envs(2), shared_memory=False)
    try:
        assert sync.reset(seed=5) == apart.reset(seed=5)
        for said in [("a", "b"), ("é", ""), ("c", "d"), ("hh", "g")]:
            expected, got = sync.step(said), apart.step(said)
            assert expected[0] == got[0]
            assert any(expected[0]) or said[0] == "é"
            np.testing.assert_array_equal(expected[1], got[1])
    finally:
        apart.close()


def test_history_space_names_what_a_model_takes():
    space = history_space(10, 4)
    assert {"input_ids": np.array([9, 0, 0, 0]), "attention_mask": np.array([1, 0, 0, 0], np.int8)} in space
    assert {"input_ids": np.array([10, 0, 0, 0]), "attention_mask": np.array([1, 0, 0, 0], np.int8)} not in space
    with pytest.raises(ValueError, match="at least 2"):
        history_space(10, 1)
