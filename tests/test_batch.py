"""``collate`` and ``Batch`` against tensors written by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from agents.data.batch import Batch, collate
from lang_envs.episode import Episode, Episodes

PAD, END = 29, 30
START, STOP = 33, 31  # <a> and </s> of Wordle


def episode(
    spoken: list[tuple[bool, list[int], float]], terminated: bool = False, logprobs: list[float] | None = None
) -> Episode:
    """From pieces (is the agent's, tokens, reward on the last token)."""
    tokens = [t for _, piece, _ in spoken for t in piece]
    is_action = [own for own, piece, _ in spoken for _ in piece]
    rewards = [r for _, piece, reward in spoken for r in [0.0] * (len(piece) - 1) + [reward]]
    return Episode(
        np.array(tokens, np.int32),
        np.array(is_action),
        np.array(rewards, np.float32),
        terminated=terminated,
        truncated=not terminated,
        logprobs=None if logprobs is None else np.array(logprobs, np.float32),
    )


def opening(*tokens: int) -> tuple[bool, list[int], float]:
    return (False, list(tokens), 0.0)


GUESS = (True, [0, 17, 14, 18, 4, END], -1.0)  # arose</a>
COLOURS = opening(27, 28, 27, 27, 26, STOP)
INVALID = (True, [23, 24, 25, END], -1.0)  # xyz</a>, not answered


def rows(x: torch.Tensor) -> list:
    return x.tolist()


def test_a_reply_between_turns_and_adjacent_turns() -> None:
    # The worked example: positions 0..5 act in the first guess, 12..15 in the one after the colours; the third guess
    # follows the second without a reply and starts from its end token at 16.
    batch = collate(
        [episode([opening(START), GUESS, COLOURS, INVALID, (True, [1, END], 0.0)], terminated=True)], PAD, END
    )
    assert rows(batch.state) == [[0, 1, 2, 3, 4, 5, 12, 13, 14, 15, 16, 17]]
    assert rows(batch.next_state) == [[1, 2, 3, 4, 5, 12, 13, 14, 15, 16, 17, 18]]
    assert rows(batch.action) == [[0, 17, 14, 18, 4, END, 23, 24, 25, END, 1, END]]
    assert rows(batch.reward) == [[0, 0, 0, 0, 0, -1, 0, 0, 0, -1, 0, 0]]
    assert rows(batch.turn) == [[0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2]]
    assert rows(batch.discount) == [[1] * 11 + [0]]
    assert rows(batch.mask) == [[1] * 12]
    assert batch.input_ids.shape == (1, 19) and batch.attention_mask.sum() == 19


def test_the_last_state_is_after_the_final_reply() -> None:
    batch = collate([episode([opening(START), GUESS, COLOURS])], PAD, END)
    assert rows(batch.state) == [[0, 1, 2, 3, 4, 5]]
    assert rows(batch.next_state) == [[1, 2, 3, 4, 5, 12]]


def test_termination_has_no_next_value_and_truncation_has_one() -> None:
    pieces = [opening(START), (True, [5, END], -1.0), opening(26)]
    batch = collate([episode(pieces, terminated=True), episode(pieces, terminated=False)], PAD, END)
    assert rows(batch.discount) == [[1, 0], [1, 1]]
    assert rows(batch.next_state) == [[1, 3], [1, 3]]


def test_turns_cut_at_the_limit_are_told_apart_though_the_environment_keeps_silent() -> None:
    pieces = [opening(START), (True, [1, 2, 3, 4, 5, 6, 7, END, 8, 9], 0.0), opening(26), (True, [1, 2, 3, 4], 0.0)]
    episodes = [episode(pieces), episode([opening(START, 3), (True, [1, 2, 3, 4], 0.0)])]
    assert rows(collate(episodes, PAD, END, limit=3).turn) == [
        [0, 0, 0, 1, 1, 1, 2, 2, 3, 3, 4, 4, 4, 5],
        [0, 0, 0, 1] + [0] * 10,
    ]
    assert rows(collate(episodes, PAD, END).turn)[0] == [0] * 8 + [1] * 2 + [2] * 4


def test_an_utterance_cut_before_its_end_token_ends_where_the_environment_speaks() -> None:
    batch = collate([episode([opening(START), (True, [1, 2], -1.0), opening(26), (True, [3, 4], 0.0)])], PAD, END)
    assert rows(batch.turn) == [[0, 0, 1, 1]]
    assert rows(batch.state) == [[0, 1, 3, 4]]


def test_padding_and_an_episode_without_actions() -> None:
    short = episode([opening(START), (True, [7, END], 2.0)], terminated=True, logprobs=[np.nan, -0.5, -1.5])
    silent = episode([opening(START, 5, 6, 7)])
    long = episode([opening(START, 9), (True, [1, 2, END], -1.0)], terminated=True)
    batch = collate([short, silent, long], PAD, END)
    assert rows(batch.input_ids) == [[START, 7, END, PAD, PAD], [START, 5, 6, 7, PAD], [START, 9, 1, 2, END]]
    assert rows(batch.attention_mask) == [[1, 1, 1, 0, 0], [1, 1, 1, 1, 0], [1, 1, 1, 1, 1]]
    assert rows(batch.mask) == [[1, 1, 0], [0, 0, 0], [1, 1, 1]]
    assert rows(batch.state) == [[0, 1, 0], [0, 0, 0], [1, 2, 3]]
    assert rows(batch.next_state) == [[1, 2, 0], [0, 0, 0], [2, 3, 4]]
    assert rows(batch.action) == [[7, END, 0], [0, 0, 0], [1, 2, END]]
    assert rows(batch.reward) == [[0, 2, 0], [0, 0, 0], [0, 0, -1]]
    assert rows(batch.discount) == [[1, 0, 0], [0, 0, 0], [1, 1, 0]]
    assert rows(batch.turn) == [[0, 0, 0], [0, 0, 0], [0, 0, 0]]
    assert rows(batch.logprob) == [[-0.5, -1.5, 0], [0, 0, 0], [0, 0, 0]]
    assert rows(batch.known) == [[1, 1, 0], [0, 0, 0], [0, 0, 0]]
    assert batch.real.tolist() == [0, 1, 6, 7, 8] and batch.ends.tolist() == [1, 4]
    assert batch.flat(batch.action).tolist() == [7, END, 1, 2, END]
    assert batch.places(batch.state).tolist() == [0, 1, 11, 12, 13]
    assert batch.places(batch.next_state)[batch.ends].tolist() == [2, 14]
    assert torch.equal(batch.in_rows(batch.flat(batch.reward)), batch.reward)
    assert batch.mean(batch.flat(batch.reward)) == batch.mean(batch.reward) == pytest.approx(1 / 5)
    wide = torch.randn(3, 3, 2)
    assert torch.equal(batch.flat(wide), wide[batch.mask > 0])


def test_what_is_kept_of_a_batch_can_be_learned_with() -> None:
    batch = collate([episode([opening(START), GUESS])], PAD, END)
    with torch.inference_mode():
        batch.flat(batch.reward)
    x = torch.randn(batch.reward.shape, requires_grad=True)
    batch.flat(x)[batch.ends].sum().backward()
    assert x.grad is not None and x.grad.sum() == 1


def test_a_recorded_certainty_is_told_apart_from_what_is_unknown() -> None:
    pieces = [opening(START), (True, [1, 2, END], 0.0)]
    certain = episode(pieces, logprobs=[np.nan, 0.0, np.nan, -0.5])
    batch = collate([certain, episode(pieces)], PAD, END)
    assert rows(batch.logprob) == [[0, 0, -0.5], [0, 0, 0]]
    assert rows(batch.known) == [[1, 0, 1], [0, 0, 0]]
    assert rows(collate([episode(pieces)], PAD, END).known) == [[0, 0, 0]]


def test_dtypes() -> None:
    batch = collate([episode([opening(START), GUESS])], PAD, END)
    floats = {"reward", "discount", "mask", "logprob", "known"}
    for name, tensor in vars(batch).items():
        assert tensor.dtype == (torch.float32 if name in floats else torch.int64), name


def test_no_action_anywhere() -> None:
    batch = collate([episode([opening(START, 1)])], PAD, END)
    assert rows(batch.mask) == rows(batch.discount) == rows(batch.returns_to_go(0.9)) == [[0]]
    assert batch.mean(batch.reward + 1) == 0


def test_nothing_to_collate() -> None:
    with pytest.raises(ValueError, match="at least one episode"):
        collate([], PAD, END)


def test_columns_and_a_list_give_the_same_batch() -> None:
    episodes = [episode([opening(START), GUESS, COLOURS, INVALID]), episode([opening(START), INVALID], terminated=True)]
    for ours, theirs in zip(
        vars(collate(episodes, PAD, END)).values(),
        vars(collate(Episodes.from_list(episodes), PAD, END)).values(),
        strict=True,
    ):
        assert torch.equal(ours, theirs)


def test_the_mean_is_over_real_actions() -> None:
    batch = collate([episode([opening(START), GUESS]), episode([opening(START), (True, [END], 0.0)])], PAD, END)
    x = torch.arange(12.0).reshape(2, 6)
    assert batch.mean(x) == (0 + 1 + 2 + 3 + 4 + 5 + 6) / 7


def test_at_gathers_along_time_with_a_gradient() -> None:
    batch = collate([episode([opening(START), GUESS]), episode([opening(START, 3), (True, [END], 0.0)])], PAD, END)
    x = torch.randn(2, 7, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    got = batch.at(x, batch.next_state)  # [2, 6, 3]
    for b in range(2):
        for i in range(6):
            assert torch.equal(got[b, i], x[b, int(batch.next_state[b, i])])
    (got * batch.mask[..., None]).sum().backward()
    assert x.grad is not None and rows(x.grad[..., 0]) == [[0, 1, 1, 1, 1, 1, 1], [0, 0, 1, 0, 0, 0, 0]]
    assert batch.at(x[..., 0], batch.state).shape == (2, 6)


def test_returns_of_a_lost_game_of_wordle() -> None:
    # Six guesses of six tokens each at 0.99 a token: -4.934 in the paper's code.
    lost = episode([opening(START), *[GUESS, COLOURS] * 5, GUESS], terminated=True)
    batch = collate([lost], PAD, END)
    assert batch.returns_to_go(0.99)[0, 0].item() == pytest.approx(-sum(0.99 ** (5 + 6 * k) for k in range(6)))
    assert batch.returns_to_go(0.99)[0, 0].item() == pytest.approx(-4.934, abs=5e-4)
    assert batch.returns_to_go(0.5, "turn")[0, 0].item() == pytest.approx(-sum(0.5**k for k in range(6)))


def test_discounts_between_actions() -> None:
    batch = collate(
        [episode([opening(START), INVALID, (True, [END], 0.0)]), episode([opening(START), INVALID])], PAD, END
    )
    assert batch.gammas(0.5)[0].tolist() == [0.5] * 5
    assert batch.gammas(0.5, "turn").tolist() == [[1, 1, 1, 0.5, 0.5], [1, 1, 1, 0.5, 0.5]]
    with pytest.raises(ValueError, match="'token' or 'turn'"):
        batch.gammas(0.5, "word")  # type: ignore[arg-type]


pieces = st.tuples(st.booleans(), st.lists(st.sampled_from([1, 2, END]), min_size=1, max_size=6), st.integers(-2, 2))
any_episode = st.builds(
    lambda ps, terminated: episode([opening(START), *[(a, t, float(r) if a else 0.0) for a, t, r in ps]], terminated),
    st.lists(pieces, max_size=5),
    st.booleans(),
)


@given(
    st.lists(any_episode, min_size=1, max_size=5), st.sampled_from([0.0, 0.9, 1.0]), st.sampled_from(["token", "turn"])
)
def test_collate_and_returns_against_loops(episodes: list[Episode], gamma: float, per: str) -> None:
    batch = collate(episodes, PAD, END)
    returns = batch.returns_to_go(gamma, per)  # type: ignore[arg-type]
    for b, e in enumerate(episodes):
        positions = [t for t in range(len(e)) if e.is_action[t]]
        states = [t - 1 for t in positions] + [len(e) - 1]
        turn, total = 0, 0.0
        for i, t in enumerate(positions):
            if i and (e.tokens[t - 1] == END or not e.is_action[t - 1]):
                turn += 1
            got = [int(x[b, i]) for x in (batch.state, batch.next_state, batch.action, batch.turn, batch.mask)]
            assert got == [states[i], states[i + 1], e.tokens[t], turn, 1]
            assert batch.discount[b, i] == (0 if e.terminated and i == len(positions) - 1 else 1)
        for i in reversed(range(len(positions))):
            crosses = i + 1 == len(positions) or batch.turn[b, i] != batch.turn[b, i + 1]
            total = float(e.rewards[positions[i]]) + (gamma if per == "token" or crosses else 1.0) * total
            assert returns[b, i].item() == pytest.approx(total, abs=1e-5)
        assert not batch.mask[b, len(positions) :].any() and not returns[b, len(positions) :].any()


def test_split_keeps_the_episodes_and_cuts_the_padding() -> None:
    episodes = [episode([opening(START), (True, [1] * n + [END], float(n))]) for n in (1, 2, 7, 3, 1)]
    whole = collate(episodes, PAD, END)
    parts = whole.split(2)
    assert [p.input_ids.shape for p in parts] == [(3, 9), (2, 5)]
    for part, own in zip(parts, (episodes[:3], episodes[3:]), strict=True):
        for ours, theirs in zip(vars(part).values(), vars(collate(own, PAD, END)).values(), strict=True):
            assert torch.equal(ours, theirs)
    assert len(whole.split(99)) == 5


def test_to_moves_every_field() -> None:
    batch = collate([episode([opening(START), GUESS])], PAD, END).to("meta")
    assert isinstance(batch, Batch) and {x.device.type for x in vars(batch).values()} == {"meta"}
