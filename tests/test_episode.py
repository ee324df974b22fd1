import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lang_envs import Episode, Episodes

NAN = float("nan")


def fields(**changes):
    """Two observed tokens, an utterance of two, a reply."""
    good = {
        "tokens": np.array([5, 6, 1, 2, 7], np.int32),
        "is_action": np.array([False, False, True, True, False]),
        "rewards": np.array([0, 0, 0, -1.5, 0], np.float32),
        "terminated": True,
        "truncated": False,
        "logprobs": np.array([NAN, NAN, -0.5, -0.25, NAN], np.float32),
        "info": {"seed": 3},
    }
    return {**good, **changes}


def test_properties():
    episode = Episode(**fields())
    assert episode.ret == -1.5
    assert episode.num_actions == 2
    assert len(episode) == 5


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"tokens": [5, 6, 1, 2, 7]}, TypeError, "tokens must be a numpy array of int32, got list"),
        ({"tokens": np.array([5, 6, 1, 2, 7])}, TypeError, "got an array of int64"),
        ({"is_action": np.zeros(5, np.int8)}, TypeError, "is_action must be a numpy array of bool"),
        ({"rewards": np.zeros(5)}, TypeError, "rewards must be a numpy array of float32"),
        ({"tokens": np.zeros((5, 1), np.int32)}, ValueError, "one dimension"),
        ({"tokens": np.zeros(4, np.int32)}, ValueError, "one entry a token"),
        ({"logprobs": np.full(4, NAN, np.float32)}, ValueError, "one entry a token"),
        ({"is_action": np.array([True, False, True, True, False])}, ValueError, "opening observation"),
        ({"tokens": np.array([5, 6, -1, 2, 7], np.int32)}, ValueError, "got -1 at 2"),
        ({"truncated": True}, ValueError, "never both"),
        ({"rewards": np.array([0, 0, 0, NAN, 0], np.float32)}, ValueError, "finite"),
        ({"rewards": np.array([0, 0, 0, 0, 2], np.float32)}, ValueError, "reward 2.0 at token 4"),
        ({"logprobs": np.array([NAN, NAN, -np.inf, 0, NAN], np.float32)}, ValueError, "finite"),
        ({"logprobs": np.array([NAN, NAN, -1, -1, -1], np.float32)}, ValueError, "logprob -1.0 at token 4"),
    ],
)
def test_refuses_what_contradicts_itself(changes, error, message):
    with pytest.raises(error, match=message):
        Episode(**fields(**changes))


def test_refuses_an_empty_episode():
    none = np.zeros(0, np.int32), np.zeros(0, np.bool_), np.zeros(0, np.float32)
    with pytest.raises(ValueError, match="at least one token"):
        Episode(*none, terminated=True)


def test_an_action_may_have_no_known_logprob():
    Episode(**fields(logprobs=np.array([NAN, NAN, NAN, -0.25, NAN], np.float32)))


@pytest.mark.parametrize(
    "change",
    [
        {"tokens": np.array([5, 6, 1, 2, 8], np.int32)},
        {"is_action": np.array([False, True, True, True, False]), "logprobs": None},
        {"rewards": np.array([0, 0, 1, -1.5, 0], np.float32)},
        {"terminated": False},
        {"terminated": False, "truncated": True},
        {"logprobs": None},
        {"logprobs": np.array([NAN, NAN, -0.5, NAN, NAN], np.float32)},
        {"info": {"seed": 4}},
    ],
)
def test_same_as_looks_at_every_field(change):
    episode = Episode(**fields())
    assert episode.same_as(Episode(**fields()))
    assert not episode.same_as(Episode(**fields(**change)))


@st.composite
def episodes(draw):
    n = draw(st.integers(2, 8))
    is_action = np.array([False, *draw(st.lists(st.booleans(), min_size=n - 1, max_size=n - 1))])
    rewards = np.array(draw(st.lists(st.floats(-9, 9, width=32), min_size=n, max_size=n)), np.float32) * is_action
    tokens = np.array(draw(st.lists(st.integers(0, 9), min_size=n, max_size=n)), np.int32)
    logprobs = None
    if is_action.any() and draw(st.booleans()):
        logprobs = np.where(is_action, np.float32(-1), np.float32(NAN)).astype(np.float32)
    end = draw(st.sampled_from([(True, False), (False, True), (False, False)]))
    return Episode(tokens, is_action, rewards.astype(np.float32), *end, logprobs, {"n": n})


@given(st.lists(episodes(), max_size=5), st.lists(episodes(), max_size=5))
def test_columns_hold_the_same_episodes(some, more):
    joined = Episodes.concat([Episodes.from_list(some), Episodes.from_list(more)])
    every = some + more
    assert len(joined) == len(every)
    assert all(a.same_as(b) for a, b in zip(joined, every, strict=True))
    np.testing.assert_allclose(joined.returns, [e.ret for e in every])
    assert joined.returns.dtype == np.float64
    assert joined.lengths.tolist() == [len(e) for e in every]
    assert (joined.logprobs is None) == all(e.logprobs is None for e in every)


def test_index_counts_from_the_end_and_stops():
    columns = Episodes.from_list([Episode(**fields()), Episode(**fields(info={"seed": 4}))])
    assert columns[-1].info == {"seed": 4}
    with pytest.raises(IndexError):
        columns[2]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"offsets": np.array([0, 4])}, "offsets must rise from 0 to the number of tokens, 5"),
        ({"offsets": np.array([0, 5, 5])}, "by at least 1"),
        ({"terminated": np.zeros(2, np.bool_)}, "terminated has 2 entries for 1 episodes"),
        ({"info": []}, "info has 0 entries for 1 episodes"),
    ],
)
def test_columns_of_other_lengths_are_refused(changes, message):
    one = Episodes.from_list([Episode(**fields())])
    names = ("tokens", "is_action", "rewards", "offsets", "terminated", "truncated", "logprobs", "info")
    columns = {name: getattr(one, name) for name in names}
    with pytest.raises(ValueError, match=message):
        Episodes(**{**columns, **changes})
