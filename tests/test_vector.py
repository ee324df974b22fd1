import copy
import dataclasses
import pickle
from functools import partial

import gymnasium as gym
import numpy as np
import pytest
from guess_task import TOKENS, Guess
from gymnasium.utils.env_checker import data_equivalence
from gymnasium.vector import AutoresetMode
from hypothesis import given, settings
from hypothesis import strategies as st

from lang_envs import TokenEnv, TokenVectorEnv, Turn, rollout

END = TOKENS.index("<end>")
MODES = list(AutoresetMode)


def plain(data):
    """Arrays of objects as lists, so that what is in them is compared."""
    if isinstance(data, dict):
        return {key: plain(value) for key, value in data.items()}
    if isinstance(data, tuple):
        return tuple(map(plain, data))
    return data.tolist() if isinstance(data, np.ndarray) and data.dtype == object else data


def random_tokens(rng, n):
    return np.where(rng.random(n) < 0.3, END, rng.integers(len(TOKENS), size=n))


def both(n, mode, max_episode_steps=None, **task):
    def one():
        env = TokenEnv(Guess(**task))
        return env if max_episode_steps is None else gym.wrappers.TimeLimit(env, max_episode_steps)

    sync = gym.vector.SyncVectorEnv([one] * n, autoreset_mode=mode)
    native = TokenVectorEnv(Guess(**task), n, autoreset_mode=mode, max_episode_steps=max_episode_steps)
    return sync, native


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(MODES), st.integers(0, 999), st.integers(1, 4), st.integers(2, 24), st.integers(1, 4))
def test_equals_gymnasiums_sync_vector_env(mode, seed, limit, max_tokens, max_turns):
    sync, native = both(4, mode, max_utterance_tokens=limit, max_tokens=max_tokens, max_turns=max_turns)
    rng = np.random.default_rng(seed)
    assert data_equivalence(sync.reset(seed=seed), native.reset(seed=seed))
    for _ in range(30):
        actions = random_tokens(rng, 4)
        expected, got = sync.step(actions), native.step(actions)
        assert data_equivalence(plain(expected), plain(got))
        assert not (got[2] & got[3]).any()
        over = got[2] | got[3]
        if mode is AutoresetMode.DISABLED and over.any():
            seeds = [None, 5, None, 7]
            expected = sync.reset(seed=seeds, options={"reset_mask": over.copy()})
            assert data_equivalence(expected, native.reset(seed=seeds, options={"reset_mask": over}))


@pytest.mark.parametrize("mode", MODES)
def test_spaces_and_metadata_equal_gymnasiums(mode):
    sync, native = both(3, mode)
    assert native.observation_space == sync.observation_space
    assert native.action_space == sync.action_space
    assert native.single_observation_space == sync.single_observation_space
    assert native.metadata["autoreset_mode"] is mode
    observation, _ = native.reset(seed=0)
    assert observation in native.observation_space


def test_max_episode_steps_is_a_time_limit():
    sync, native = both(3, AutoresetMode.NEXT_STEP, max_episode_steps=5)
    rng = np.random.default_rng(0)
    assert data_equivalence(sync.reset(seed=0), native.reset(seed=0))
    truncated = 0
    for _ in range(80):
        actions = random_tokens(rng, 3)
        expected, got = sync.step(actions), native.step(actions)
        # Gymnasium's limit truncates what is terminated, too; here terminated wins.
        expected = (*expected[:3], expected[3] & ~expected[2], expected[4])
        assert data_equivalence(plain(expected), plain(got))
        truncated += got[3].sum()
    assert truncated > 10


def test_scores_one_batch_a_step():
    class Counting(Guess):
        sizes = ()

        def reply_batch(self, states, utterances, rngs):
            self.sizes += (len(states),)
            return super().reply_batch(states, utterances, rngs)

    env = TokenVectorEnv(Counting(), 5)
    env.reset(seed=0)
    env.step([0, 0, 0, 0, END])
    env.step([END, END, 0, END, 0])
    env.step([0, 0, 0, 0, 0])
    assert env.task.sizes == (1, 3, 1)  # row 2 has reached the limit of three tokens


def test_rows_do_not_depend_on_their_neighbours():
    rng = np.random.default_rng(1)
    actions = [random_tokens(rng, 3) for _ in range(60)]
    together = TokenVectorEnv(Guess(), 3)
    together.reset(seed=10)
    alone = [TokenVectorEnv(Guess(), 1) for _ in range(3)]
    for i, env in enumerate(alone):
        env.reset(seed=10 + i)
    for step in actions:
        _, rewards, terminated, truncated, _ = together.step(step)
        for i, env in enumerate(alone):
            got = env.step(step[i : i + 1])
            assert (rewards[i], terminated[i], truncated[i]) == (got[1][0], got[2][0], got[3][0])


def test_observations_are_copies_unless_asked():
    env = TokenVectorEnv(Guess(), 2)
    first, _ = env.reset(seed=0)
    kept = first["input_ids"].copy()
    env.step([0, 0])
    np.testing.assert_array_equal(first["input_ids"], kept)
    shared = TokenVectorEnv(Guess(), 2, copy=False)
    first, _ = shared.reset(seed=0)
    second = shared.step([1, 1])[0]
    assert second["input_ids"] is first["input_ids"]
    assert second["attention_mask"] is first["attention_mask"]
    assert second["input_ids"][0, 1] == 1


def test_seeds_may_be_given_row_by_row_and_none_goes_on():
    env = TokenVectorEnv(Guess(), 3)
    env.reset(seed=[4, 5, 6])
    hidden = [env._dynamics.state(i)[0] for i in range(3)]
    env.reset(seed=4)
    assert [env._dynamics.state(i)[0] for i in range(3)] == hidden
    draws = []
    for _ in range(8):
        env.reset(seed=[4, None, None])
        draws.append([env._dynamics.state(i)[0] for i in range(3)])
    assert {d[0] for d in draws} == {hidden[0]}
    assert len({d[1] for d in draws}) > 1
    with pytest.raises(ValueError, match="one seed for each of 3 environments, got 2"):
        env.reset(seed=[1, 2])
    for wrong in (-1, 1.5, "1"):
        with pytest.raises(ValueError, match="a seed must be an integer >= 0"):
            env.reset(seed=[wrong, 1, 1])


def test_without_a_seed_every_run_differs():
    def hidden(env):
        env.reset()
        return [env._dynamics.state(i)[0] for i in range(40)]

    assert hidden(TokenVectorEnv(Guess(), 40)) != hidden(TokenVectorEnv(Guess(), 40))


@pytest.mark.parametrize(
    ("actions", "error", "message"),
    [
        ([0, 14], ValueError, "step: token 14 is out of range; the vocabulary has ids 0 to 13"),
        ([-1, 0], ValueError, "token -1 is out of range"),
        ([0.0, 1.0], TypeError, "integers, got float64"),
        ([True, False], TypeError, "integers, got bool"),
        ([0], ValueError, r"one token for each of 2 environments, got shape \(1,\)"),
        (["a", "b"], TypeError, "integers"),
    ],
)
def test_step_refuses(actions, error, message):
    env = TokenVectorEnv(Guess(), 2)
    env.reset(seed=0)
    before = env.episode(0)
    with pytest.raises(error, match=message):
        env.step(actions)
    assert env.episode(0).same_as(before)


def test_step_needs_a_reset():
    env = TokenVectorEnv(Guess(), 2)
    with pytest.raises(ValueError, match=r"row 0 has no episode yet: call reset\(\)"):
        env.step([0, 0])
    env.begin([0], [1])
    with pytest.raises(ValueError, match="row 1 has no episode yet"):
        env.step([0, 0])


def test_without_autoreset_a_finished_row_is_refused():
    env = TokenVectorEnv(Guess(max_turns=1), 2, autoreset_mode="Disabled")
    env.reset(seed=0)
    env.step([0, END])
    with pytest.raises(ValueError, match="row 1 is over and autoreset is off"):
        env.step([0, 0])
    env.reset(options={"reset_mask": env.finished})
    env.step([0, 0])


@pytest.mark.parametrize(
    ("mask", "error"),
    [
        ([True, False], TypeError),
        (np.array([1, 0]), TypeError),
        (np.array([True]), ValueError),
        (np.zeros(2, bool), ValueError),
    ],
)
def test_reset_mask_is_checked(mask, error):
    env = TokenVectorEnv(Guess(), 2)
    with pytest.raises(error, match="reset_mask"):
        env.reset(options={"reset_mask": mask})


# Whole utterances


def whole_utterance(rng, limit):
    n = rng.integers(1, limit + 1)
    tokens = rng.integers(8, size=n).astype(np.int32)
    if n < limit or rng.random() < 0.5:
        tokens[-1] = END
    return tokens


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 999), st.integers(1, 4), st.integers(2, 24), st.sampled_from([None, 3, 6]))
def test_saying_equals_stepping(seed, limit, max_tokens, max_episode_steps):
    task = {"max_utterance_tokens": limit, "max_tokens": max_tokens}
    options = {"autoreset_mode": AutoresetMode.DISABLED, "max_episode_steps": max_episode_steps}
    said = TokenVectorEnv(Guess(**task), 3, **options)
    stepped = [TokenVectorEnv(Guess(**task), 1, **options) for _ in range(3)]
    said.begin([0, 1, 2], [seed, seed + 1, seed + 2])
    for i, env in enumerate(stepped):
        env.reset(seed=seed + i)
    rng = np.random.default_rng(seed)
    while not said.finished.all():
        rows = rng.permutation(np.flatnonzero(~said.finished))[: rng.integers(1, 4)]
        utterances = [whole_utterance(rng, limit) for _ in rows]
        said.say(rows, utterances)
        for row, utterance in zip(rows, utterances, strict=True):
            for token in utterance:
                if not stepped[row].finished[0]:
                    stepped[row].step([token])
    for row in range(3):
        assert said.episode(row).same_as(stepped[row].episode(0))


@pytest.mark.parametrize(
    ("utterance", "error", "message"),
    [
        ([], ValueError, "Parrot: an utterance has 1 to 3 tokens, its end token included; got 0"),
        ([0, 1, 2, END], ValueError, "1 to 3 tokens, its end token included; got 4"),
        ([0, 1], ValueError, r"Parrot: an utterance must end with the end token 12, got \[0 1\]"),
        ([END, 0], ValueError, "goes on after its end token 12"),
        ([END, END], ValueError, "goes on after its end token 12"),
        ([99, END], ValueError, "Parrot: token 99 is out of range"),
        ([-1, END], ValueError, "token -1 is out of range"),
        ([0.5, END], TypeError, "integers, got float64"),
    ],
)
def test_say_refuses(utterance, error, message):
    env = TokenVectorEnv(Guess(), 2)
    env.reset(seed=0)
    before = env.episode(1)
    with pytest.raises(error, match=message):
        env.say([0, 1], [np.array([0, END]), np.array(utterance)], speaker="Parrot")
    assert env.episode(1).same_as(before)


def test_say_refuses_rows_that_cannot_go_on():
    env = TokenVectorEnv(Guess(max_turns=1), 3)
    env.begin([0, 1], [0, 1])
    env.say([0], [np.array([END])])
    for row in (0, 2):
        with pytest.raises(ValueError, match=f"row {row} takes no utterance now"):
            env.say([row], [np.array([END])])
    env.begin([0, 1, 2], [0, 1, 2])
    env.step([0, 0, 0])
    with pytest.raises(ValueError, match="row 1 takes no utterance now"):
        env.say([1], [np.array([END])])
    env.begin([0, 1, 2], [0, 1, 2])
    with pytest.raises(ValueError, match="expected 2 utterances, got 1"):
        env.say([0, 1], [np.array([END])])


def test_rows_are_named_once_and_may_be_none():
    env = TokenVectorEnv(Guess(), 2)
    with pytest.raises(ValueError, match=r"named once, got \[1 1\]"):
        env.begin([1, 1], [0, 0])
    env.begin([0], [0])
    with pytest.raises(ValueError, match="named once"):
        env.say([0, 0], [np.array([END])] * 2)
    before = env.episode(0)
    env.begin([], [])
    env.say([], [])
    assert env.episode(0).same_as(before)


def test_history_is_a_read_only_view():
    env = TokenVectorEnv(Guess(), 1)
    env.reset(seed=0)
    env.step([3])
    history = env.history(0)
    assert history.tolist() == [TOKENS.index("<say>"), 3]
    assert history.dtype == np.int32
    with pytest.raises(ValueError, match="read-only"):
        history[0] = 0


def test_the_record_of_a_row():
    env = TokenVectorEnv(Guess(), 2)
    env.reset(seed=0)
    assert env.episode(0).info == {}
    env.say([0], [np.array([0, END])])
    episode = env.episode(0, info={"seed": 0})
    assert episode.is_action.tolist()[:3] == [False, True, True]
    assert episode.info["said"] == "a"
    assert {type(episode.info[key]) for key in ("success", "off", "share")} == {bool, int, float}
    assert episode.info["seed"] == 0
    env.begin([0], [1])
    assert env.episode(0).info == {}
    assert len(episode) > len(env.episode(0))


def test_action_masks_equal_those_of_single_envs():
    env, single = TokenVectorEnv(Guess(), 2), TokenEnv(Guess())
    assert env.action_masks().all()
    env.reset(seed=3)
    single.reset(seed=3)
    for token in (0, 1, END, 2):
        np.testing.assert_array_equal(env.action_masks()[0], single.action_masks())
        env.step([token, 0]), single.step(token)


def test_render():
    env = TokenVectorEnv(Guess(), 2, render_mode="ansi")
    env.reset(seed=0)
    env.step([0, 1])
    assert env.render() == ("<say>a", "<say>b")
    assert TokenVectorEnv(Guess(), 2).render() is None
    with pytest.raises(ValueError, match="render_mode"):
        TokenVectorEnv(Guess(), 2, render_mode="human")


@pytest.mark.parametrize("opening", ["", "<say>aa"])
def test_an_opening_needs_tokens_and_room(opening):
    class Odd(Guess):
        def begin(self, rng):
            return super().begin(rng)[0], opening

    with pytest.raises(ValueError, match=r"opening observation has [03] tokens"):
        TokenVectorEnv(Odd(max_tokens=3), 2).reset(seed=0)


def test_an_info_is_what_the_task_said_whatever_its_neighbours_are_told():
    class Mixed(Guess):
        def reply(self, state, utterance, rng):
            value = [0, 0.75, True][int(rng.integers(3))]
            return dataclasses.replace(super().reply(state, utterance, rng), info={"value": value})

    def told(num_envs):
        env = TokenVectorEnv(Mixed(), num_envs)
        values = [e.info["value"] for e in rollout(env, Constant(), range(12))]
        return [(type(value), value) for value in values]

    assert told(1) == told(3) == told(12)
    assert {kind for kind, _ in told(1)} == {int, float, bool}


class Constant:
    def act(self, histories, rngs):
        return [Turn(np.array([0, END]))] * len(histories)


def test_info_keys_must_not_change():
    class Odd(Guess):
        def reply(self, state, utterance, rng):
            reply = super().reply(state, utterance, rng)
            if utterance == "a":
                reply.info["more"] = 1
            return reply

    env = TokenVectorEnv(Odd(), 2)
    env.reset(seed=0)
    with pytest.raises(ValueError, match="Odd: every reply must have the same info keys"):
        env.say([0, 1], [np.array([0, END]), np.array([1, END])])


# Through gymnasium


def test_make_vec():
    env = gym.make_vec("MovieReview-v0", 3, autoreset_mode="SameStep", copy=False, max_tokens=14, max_episode_steps=4)
    assert isinstance(env, TokenVectorEnv)
    assert (env.num_envs, env.max_tokens, env.max_episode_steps) == (3, 14, 4)
    assert env.autoreset_mode is AutoresetMode.SAME_STEP
    assert isinstance(gym.make_vec("MovieReview-v0", 2, vectorization_mode="sync"), gym.vector.SyncVectorEnv)
    with pytest.raises(ValueError, match="vectorization_mode='sync'"):
        gym.make_vec("MovieReview-v0", 2, level="utterance")
    with pytest.raises(ValueError, match="max_episode_steps must be at least 1"):
        gym.make_vec("MovieReview-v0", 2, max_episode_steps=0)
    with pytest.raises(ValueError, match="num_envs must be at least 1"):
        gym.make_vec("MovieReview-v0", 0)


def test_works_under_gymnasiums_vector_wrappers():
    env = gym.wrappers.vector.RecordEpisodeStatistics(TokenVectorEnv(Guess(max_turns=1), 2))
    env.reset(seed=0)
    *_, infos = env.step([END, 0])
    assert infos["episode"]["l"].tolist() == [1, 0]


def test_pieces_are_made_once_not_each_step():
    env = TokenVectorEnv(Guess(), 2)
    env.reset(seed=0)
    record = env._buffer.tokens
    for _ in range(30):
        env.step([0, END])
    assert env._buffer.tokens is record


def test_partial_functions_make_async_envs():
    apart = gym.vector.AsyncVectorEnv([partial(TokenEnv, Guess())] * 2)
    native = TokenVectorEnv(Guess(), 2)
    rng = np.random.default_rng(0)
    try:
        assert data_equivalence(apart.reset(seed=1), native.reset(seed=1))
        for _ in range(40):
            actions = random_tokens(rng, 2)
            assert data_equivalence(plain(apart.step(actions)), plain(native.step(actions)))
    finally:
        apart.close()


@pytest.mark.parametrize("copier", [lambda env: pickle.loads(pickle.dumps(env)), copy.deepcopy], ids=["sent", "copied"])
@pytest.mark.parametrize("env_id", ["Wordle-v0", "VisualDialogue-v0", "Dialogue-BERTScore-v0", "Reddit-Toxicity-v0"])
def test_a_copy_goes_on_alike(env_id, copier):
    env = gym.make_vec(env_id, num_envs=3).unwrapped
    rng = np.random.default_rng(0)
    env.reset(seed=5)
    for _ in range(7):
        env.step(rng.integers(0, env.vocabulary_size - 1, 3))
    copied = copier(env)
    for _ in range(40):
        actions = rng.integers(0, env.vocabulary_size - 1, 3)
        (seen, rewards, *_), (seen_too, rewards_too, *_) = env.step(actions), copied.step(actions)
        assert all(np.array_equal(seen[key], seen_too[key]) for key in seen) and np.array_equal(rewards, rewards_too)
        assert all(np.array_equal(env.history(row), copied.history(row)) for row in range(3))
