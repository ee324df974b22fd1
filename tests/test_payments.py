"""Rewards and info that no record can hold are refused at once; the error names task, turn and utterance."""

import re
from fractions import Fraction

import numpy as np
import pytest
from guess_task import TOKENS, Guess
from gymnasium.vector import AutoresetMode, VectorWrapper

from datasets_builders.record_episodes import RecordEpisodes
from lang_envs import Reply, TokenEnv, TokenVectorEnv, UtteranceEnv
from lang_envs.dynamics import Replies

A, END = TOKENS.index("a"), TOKENS.index("<end>")


class Answers(Guess):
    """Answers every first utterance with a plain reply, and the second as it is told."""

    def __init__(self, **fields):
        super().__init__()
        self.fields = fields

    def reply(self, state, utterance, rng):
        letter, turn = state
        plain = {"state": (letter, turn + 1), "text": "?", "reward": 0.5, "terminated": False, "info": {"n": 1}}
        return Reply(**(plain | self.fields if turn else plain))


def second_turn(kind, task):
    """Says "a" twice, at each level and in a vector."""
    if kind == "vector":
        env = TokenVectorEnv(task, 2)
        env.reset(seed=0)
        for token in (A, END, A, END):
            out = env.step([token, token])
        return out[1].tolist()
    env = (UtteranceEnv if kind == "text" else TokenEnv)(task)
    env.reset(seed=0)
    for said in ("a", "a") if kind == "text" else (A, END, A, END):
        out = env.step(said)
    return [out[1]]


class Light:
    """A float of another library."""

    def __float__(self):
        return 1.0


@pytest.mark.parametrize("kind", ["tokens", "text", "vector"])
@pytest.mark.parametrize(
    ("fields", "error", "words"),
    [
        ({"reward": float("nan")}, ValueError, "finite in float32 (up to 3.4e+38), got nan"),
        ({"reward": -np.inf}, ValueError, "finite in float32 (up to 3.4e+38), got -inf"),
        ({"reward": 1e39}, ValueError, "finite in float32 (up to 3.4e+38), got 1e+39"),
        ({"reward": 10**400}, ValueError, "finite in float32"),
        ({"reward": 10**5000}, ValueError, "an integer of 16610 bits"),
        ({"reward": "1"}, TypeError, "a reward must be a number, got '1'"),
        ({"reward": True}, TypeError, "a reward must be a number, got True"),
        ({"reward": np.True_}, TypeError, "a reward must be a number"),
        ({"reward": None}, TypeError, "a reward must be a number, got None"),
        ({"reward": np.ones(1)}, TypeError, "a reward must be a number, got array([1.])"),
        ({"reward": np.ones(())}, TypeError, "a reward must be a number"),
        ({"reward": 1j}, TypeError, "a reward must be a number"),
        ({"reward": Light()}, TypeError, "pass float(reward)"),
        ({"text": None}, TypeError, "the text of a reply must be a str or a tuple of messages, got None"),
        ({"terminated": "no"}, TypeError, "terminated must be True or False, got 'no'"),
        ({"info": {"n": float("nan")}}, ValueError, "info['n'] must be finite"),
        ({"info": {"n": np.float32("inf")}}, ValueError, "info['n'] must be finite"),
        ({"info": {"n": [1.0, float("nan")]}}, ValueError, "info['n'] must be JSON-able"),
        ({"info": {"n": np.array([np.inf])}}, ValueError, "info['n'] must be JSON-able"),
        ({"info": {"n": object()}}, TypeError, "info['n'] must be JSON-able"),
        ({"info": {"n": 10**5000}}, ValueError, "info['n'] must be JSON-able, got an integer of 16610 bits"),
        ({"info": {3: 1}}, TypeError, "the keys of info must be strings, got 3"),
        ({"info": None}, TypeError, "the info of a reply must be a dictionary, got None"),
    ],
)
def test_what_no_record_can_hold_is_refused_where_it_is_paid(kind, fields, error, words):
    with pytest.raises(error, match="Answers answered turn 2, the utterance 'a': .*" + re.escape(words)):
        second_turn(kind, Answers(**fields))


@pytest.mark.parametrize("kind", ["tokens", "text", "vector"])
@pytest.mark.parametrize("reward", [2, np.int64(2), np.float32(2), np.float64(2), Fraction(4, 2)])
def test_every_kind_of_number_is_paid(kind, reward):
    assert set(second_turn(kind, Answers(reward=reward))) == {2.0}


@pytest.mark.parametrize("kind", ["tokens", "text", "vector"])
def test_what_is_no_reply_is_refused(kind):
    class Odd(Answers):
        def reply(self, state, utterance, rng):
            return super().reply(state, utterance, rng) if state[1] == 0 else ("?", 1.0)

    with pytest.raises(TypeError, match="Odd answered turn 2, the utterance 'a': expected a Reply"):
        second_turn(kind, Odd())


def test_a_batch_is_answered_one_by_one():
    class Short(Answers):
        def reply_batch(self, states, utterances, rngs):
            return super().reply_batch(states, utterances, rngs)[:1]

    with pytest.raises(ValueError, match="reply_batch must answer 2 utterances, got 1 replies"):
        second_turn("vector", Short())


class Columns:
    """Array dynamics that pay what they are told in their third turn."""

    def __init__(self, rewards, info):
        self.turn, self.rewards, self.info = 0, np.array(rewards), info

    def begin(self, rows, rngs, contexts=()):
        return self._replies(len(rows), np.zeros(len(rows), np.float32), {})

    def reply(self, rows, utterances, lengths, rngs):
        self.turn += 1
        late = self.turn == 3
        return self._replies(len(rows), self.rewards if late else np.zeros(2, np.float32), self.info if late else {})

    def _replies(self, n, rewards, info):
        return Replies(np.full((n, 1), A, np.int32), np.ones(n, np.int64), rewards, np.zeros(n, np.bool_), info)


@pytest.mark.parametrize(
    ("rewards", "info", "error", "words"),
    [
        ([0, np.nan], {}, ValueError, "the reward must be finite, got nan"),
        (["0", "1"], {}, TypeError, "must be an array of numbers"),
        ([0, 0], {"share": np.array([0, np.inf])}, ValueError, r"info\['share'\] must be finite, got inf"),
        ([0, 0], {"x": np.array([1, np.nan], object)}, ValueError, r"info\['x'\] must be finite"),
    ],
)
def test_array_dynamics_are_held_to_the_same(rewards, info, error, words):
    class Fast(Guess):
        def dynamics(self, tokenizer, num_envs):
            return Columns(rewards, info)

    env = TokenVectorEnv(Fast(), 2)
    env.reset(seed=0)
    env.step([END, END])
    env.step([END, END])
    env.step([A, 1])
    with pytest.raises(error, match=words) as refused:
        env.step([END, END])
    if error is ValueError:
        assert "Fast answered turn 3, the utterance 'b<end>'" in str(refused.value)


class Changed(VectorWrapper):
    """Changes what a step pays or tells at one step."""

    def __init__(self, env, at, change):
        super().__init__(env)
        self.at, self.change, self.steps = at, change, 0

    def __getattr__(self, name):
        return getattr(self.env, name)

    def step(self, actions):
        observation, rewards, terminated, truncated, infos = self.env.step(actions)
        self.steps += 1
        if self.steps == self.at:
            rewards, infos = self.change(rewards, infos)
        return observation, rewards, terminated, truncated, infos


def paid(reward):
    return lambda rewards, infos: (np.full(len(rewards), reward), infos)


def told(value):
    return lambda rewards, infos: (rewards, infos | {"x": np.array([0, value]), "_x": np.array([False, True])})


@pytest.mark.parametrize("mode", list(AutoresetMode))
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (paid(np.nan), "in row 0 the reward must be finite, got nan"),
        (paid(1e39), "in row 0 the reward must be finite, got inf"),
        (told(np.inf), "in row 1 info['x'] must be finite, got inf"),
    ],
)
def test_a_recording_names_the_step_and_keeps_what_it_has(mode, change, words, tmp_path):
    env = RecordEpisodes(Changed(TokenVectorEnv(Guess(max_turns=1), 2, autoreset_mode=mode), 3, change), tmp_path / "d")
    env.reset(seed=0)
    env.step([END, END])
    if mode is AutoresetMode.DISABLED:
        env.reset()
    env.step([A, A])
    with pytest.raises(ValueError, match=re.escape(f"step 3 cannot be recorded: {words}")):
        env.step([END, END])
    with pytest.raises(ValueError, match=r"call reset\(\)"):
        env.step([END, END])
    env.reset(seed=5)
    env.step([END, END])
    episodes = env.finish()
    assert [e.info.get("seed") for e in episodes] == [0, 1, 5, 6]
    assert all(np.isfinite(e.rewards).all() for e in episodes)
