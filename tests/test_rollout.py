import itertools

import numpy as np
import pytest
from guess_task import TOKENS, Guess

from lang_envs import Start, TokenVectorEnv, Turn, rollout

END = TOKENS.index("<end>")


class Chance:
    """Random letters; counts how many histories it is asked for at once."""

    def __init__(self, with_logprobs=True):
        self.with_logprobs, self.asked = with_logprobs, []

    def act(self, histories, rngs):
        self.asked.append(len(histories))
        turns = []
        for rng in rngs:
            tokens = np.append(rng.integers(8, size=rng.integers(3)), END).astype(np.int32)
            logprobs = np.linspace(-1, -2, len(tokens), dtype=np.float32) if self.with_logprobs else None
            turns.append(Turn(tokens, logprobs))
        return turns


class Fixed:
    """Always the same turn."""

    def __init__(self, tokens, logprobs=None):
        self.turn = Turn(np.array(tokens), logprobs)

    def act(self, histories, rngs):
        return [self.turn] * len(histories)


def play(starts, num_envs=4, policy=None, **task):
    return list(rollout(TokenVectorEnv(Guess(**task), num_envs), policy or Chance(), starts))


def test_episodes_are_exact_and_in_the_order_of_their_starts():
    episodes = play(range(30))
    assert [e.info["seed"] for e in episodes] == list(range(30))
    assert all(e.terminated != e.truncated for e in episodes)
    assert all(e.info["success"] == e.terminated for e in episodes)
    assert len({len(e) for e in episodes}) > 3


def test_no_policy_draws_what_an_environment_draws():
    class Numbers:
        def act(self, histories, rngs):
            drawn.extend(rng.random() for rng in rngs)
            return [Turn(np.array([END]))] * len(histories)

    drawn = []
    play([5], policy=Numbers(), max_turns=1)
    of_environments = [np.random.default_rng((part << 32) + 5).random() for part in range(3)]
    assert drawn and not set(drawn) & set(of_environments)


@pytest.mark.parametrize("num_envs", [1, 3, 50])
def test_an_episode_depends_on_its_seed_alone(num_envs):
    expected = play(range(20))
    assert all(a.same_as(b) for a, b in zip(expected, play(range(20), num_envs), strict=True))
    backwards = play(reversed(range(20)), num_envs)
    assert all(a.same_as(b) for a, b in zip(expected, reversed(backwards), strict=True))


def test_the_record_is_what_was_said():
    first = play([7], policy=Fixed([2, END]), max_turns=2)[0]
    actions = first.tokens[first.is_action]
    assert actions.tolist() == [2, END] * (len(actions) // 2)
    assert first.rewards[first.is_action][0::2].tolist() == [0] * (len(actions) // 2)
    assert first.ret == pytest.approx(first.rewards.sum())


def test_rows_are_refilled_as_soon_as_they_are_free():
    policy = Chance()
    episodes = play(range(40), 8, policy, max_turns=30, max_tokens=300)
    turns = sum(int((e.tokens == END).sum()) for e in episodes)
    assert sum(policy.asked) == turns
    # Fewer than eight rows play only once the starts have run out, and from then on never more than before.
    assert policy.asked == sorted(policy.asked, reverse=True)
    assert policy.asked.count(8) > len(policy.asked) / 2


def test_starts_may_be_endless_and_are_taken_as_needed():
    taken = []
    starts = (taken.append(i) or i for i in itertools.count())
    episodes = rollout(TokenVectorEnv(Guess(), 3), Chance(), starts)
    assert [next(episodes).info["seed"] for _ in range(5)] == [0, 1, 2, 3, 4]
    assert len(taken) < 20


def test_no_starts_no_episodes():
    assert play([]) == []


def test_seeds_are_integers_and_are_recorded_as_such():
    (episode,) = play(np.array([3]))
    assert type(episode.info["seed"]) is int
    assert episode.same_as(play([3])[0])
    with pytest.raises(TypeError, match="integer"):
        play([3.0])
    with pytest.raises(ValueError, match="a seed must be an integer >= 0, got -1"):
        play([-1])


def test_policy_seed_moves_the_policy_alone():
    base, again, other = play([Start(3), Start(3, policy_seed=3), Start(3, policy_seed=4)])
    assert base.same_as(again)
    assert not base.same_as(other)
    firsts = [play([Start(seed, policy_seed=9)], policy=Chance())[0].tokens[1] for seed in range(10)]
    assert len(set(firsts)) == 1  # the same policy seed says the same first token in any environment


def test_replay_branches_an_episode():
    original = play([11])[0]
    first = original.tokens[1 : int(np.argmax(original.tokens == END)) + 1]
    branches = play([Start(11, policy_seed=seed, said=[first]) for seed in range(12)])
    shared = int(np.argmax(original.tokens == END)) + 1
    assert all(b.tokens[:shared].tolist() == original.tokens[:shared].tolist() for b in branches)
    assert len({b.tokens.tobytes() for b in branches}) > 3
    assert all(np.isnan(b.logprobs[:shared]).all() for b in branches)


def test_replaying_everything_gives_the_same_episode_and_asks_nobody():
    for original in play(range(10), policy=Chance(with_logprobs=False)):
        ends = np.flatnonzero(original.is_action & (original.tokens == END)) + 1
        said = [t[m] for t, m in zip(np.split(original.tokens, ends), np.split(original.is_action, ends), strict=True)]
        start = Start(original.info["seed"], said=[u for u in said if len(u)])
        assert play([start], policy=Fixed([]))[0].same_as(original)


def test_replay_that_goes_on_after_the_end_is_refused():
    with pytest.raises(ValueError, match="episode of seed 5 was over before all replayed utterances"):
        play([Start(5, said=[np.array([8, END])] * 3)], max_turns=2)


def test_log_probabilities_lie_on_actions():
    for episode in play(range(10)):
        np.testing.assert_array_equal(np.isnan(episode.logprobs), ~episode.is_action)
        assert episode.logprobs[1] == -1
    assert all(e.logprobs is None for e in play(range(3), policy=Chance(with_logprobs=False)))


def test_log_probabilities_of_what_was_cut_are_dropped():
    logprobs = np.array([-1, -2, -3], np.float32)
    episode = play([0], policy=Fixed([1, 8, 9], logprobs), max_tokens=3)[0]
    np.testing.assert_array_equal(episode.logprobs, np.array([np.nan, -1, -2], np.float32))


@pytest.mark.parametrize(
    ("tokens", "error", "message"),
    [
        ([], ValueError, "Fixed: an utterance has 1 to 3 tokens"),
        ([1, 2, 3, END], ValueError, "Fixed: an utterance has 1 to 3 tokens"),
        ([1, 2], ValueError, "Fixed: an utterance must end with the end token"),
        ([END, 1], ValueError, "Fixed: an utterance goes on after its end"),
        ([14, END], ValueError, "Fixed: token 14 is out of range"),
        ([1.0, END], TypeError, "Fixed: tokens are integers"),
    ],
)
def test_a_policy_that_says_no_utterance_is_named(tokens, error, message):
    with pytest.raises(error, match=message):
        play([0], policy=Fixed(tokens))


def test_log_probabilities_of_another_length_are_refused():
    with pytest.raises(ValueError, match=r"Fixed: 2 tokens need as many log-probabilities, got shape \(3,\)"):
        play([0], policy=Fixed([1, END], np.zeros(3, np.float32)))


@pytest.mark.parametrize("answer", [[], [np.array([END])], [Turn(np.array([END]))] * 2])
def test_a_policy_returns_one_turn_for_each_history(answer):
    class Odd:
        def act(self, histories, rngs):
            return answer

    with pytest.raises(TypeError, match=r"Odd.act must return a Turn for each of 1 histories"):
        play([0], policy=Odd())


def test_policies_cannot_write_to_the_record():
    class Vandal(Fixed):
        def act(self, histories, rngs):
            histories[0][0] = 0

    with pytest.raises(ValueError, match="read-only"):
        play([0], policy=Vandal([END]))


def test_any_autoreset_mode_will_do():
    expected = play(range(6))
    for mode in ("SameStep", "Disabled"):
        env = TokenVectorEnv(Guess(), 4, autoreset_mode=mode)
        assert all(a.same_as(b) for a, b in zip(expected, rollout(env, Chance(), range(6)), strict=True))
