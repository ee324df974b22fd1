"""DPO: its loss against plain loops, how pairs are made, and what it learns from them."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from test_losses_refit import BAD, GOOD, batch_of, episode, paid, said
from toy_agent import END, SAY, make_env, make_episodes, make_lm, same_weights, weights

from agents import DPO, LM, Agent, DPOConfig, Live, Logged, Mixed, RefitConfig, SwiftConfig
from agents.data.pairs import LivePairs, LoggedPairs, best_with_worst
from lang_envs import Episode, Episodes
from lang_envs.tasks.movie_review import REVIEWS, MovieReview

FINE = episode([SAY, 6, END], [0, 1, 1], [0, 0, 0.2], [np.nan, -1.5, -0.5])
AWFUL = episode([SAY, 1, 2, 3], [0, 1, 1, 1], [0, 0, 0, -2.0], [np.nan, -1.0, -2.0, -3.0])
POOR = episode(BAD.tokens.tolist(), [0, 1, 1], [0, 0, -0.7], [np.nan, -4.0, -2.5])


def moved(agent: DPO) -> DPO:
    """An agent that is no longer its reference."""
    agent.prepare(Logged([GOOD, POOR]))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in agent.model.parameters():
            p.add_(0.05 * torch.randn(p.shape, generator=generator))
    return agent


def plain_loss(beta: float, pairs: list[tuple[float, float]], tokens: int) -> float:
    """Pairs of log pi - log pi0, the better first."""
    return sum(np.log1p(np.exp(-beta * (better - worse))) for better, worse in pairs) / tokens


@pytest.mark.parametrize("reference", ["start", "logged"])
def test_the_loss_is_its_equation(reference: Any) -> None:
    agent = moved(DPO(make_lm(), DPOConfig(beta=0.7, reference=reference)))

    def h(e: Episode) -> float:
        recorded = float(np.nansum(np.asarray(e.logprobs))) if reference == "logged" else said(make_lm(), e).sum()
        return said(agent.lm, e).sum() - recorded

    pairs = [(h(GOOD), h(POOR)), (h(FINE), h(AWFUL))]
    loss, metrics = agent.loss(batch_of(GOOD, POOR, FINE, AWFUL))
    assert loss.item() == pytest.approx(plain_loss(0.7, pairs, tokens=4 + 2 + 2 + 3), rel=1e-5)
    right = [better > worse for better, worse in pairs]
    assert metrics["policy/accuracy"].item() == pytest.approx((6 * right[0] + 5 * right[1]) / 11)
    assert metrics["policy/worse_logp"].item() == pytest.approx(
        (said(agent.lm, POOR).sum() + said(agent.lm, AWFUL).sum()) / 11, rel=1e-5
    )


def test_turns_cut_at_the_limit_are_compared_one_by_one() -> None:
    # Two turns of two tokens without an end, between which the environment kept silent; the second ones differ.
    acted = [0, 1, 1, 1, 1]
    log = [episode([SAY, 3, 4, 5, 6], acted, [0, 0, 0, 0, 1.0]), episode([SAY, 3, 4, 5, 7], acted, [0.0] * 5)]

    def compared(limit: int | None) -> list[tuple[tuple[int, ...], ...]]:
        pairs = LoggedPairs(Logged(log), "turn", END, limit=limit)
        episodes = pairs.sample(len(pairs))
        turns = [tuple(e.tokens[e.is_action].tolist()) for e in episodes]
        return sorted(zip(turns[::2], turns[1::2], strict=True))

    assert compared(limit=2) == [((3, 4), (3, 4)), ((5, 6), (5, 7))]
    assert compared(limit=None) == [((3, 4, 5, 6), (3, 4, 5, 7))]


def test_at_the_start_every_pair_costs_log_two() -> None:
    loss, metrics = DPO(make_lm()).loss(batch_of(GOOD, POOR, FINE, AWFUL))
    assert loss.item() * 11 == pytest.approx(2 * np.log(2)) and metrics["policy/kl"].item() == 0


def test_neither_the_order_of_pairs_nor_that_within_them_matters() -> None:
    agent = moved(DPO(make_lm()))
    expected, parts = agent.loss(batch_of(GOOD, POOR, FINE, AWFUL))
    for other in ((FINE, AWFUL, GOOD, POOR), (POOR, GOOD, FINE, AWFUL)):
        loss, other_parts = agent.loss(batch_of(*other))
        assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
        assert {k: v.item() for k, v in other_parts.items()} == pytest.approx(
            {k: v.item() for k, v in parts.items()}, rel=1e-4
        )


def test_a_tie_teaches_nothing() -> None:
    agent = moved(DPO(make_lm()))
    loss, metrics = agent.loss(batch_of(GOOD, paid(AWFUL, GOOD.ret)))
    loss.backward()
    assert loss.item() == 0 and metrics["policy/ties"].item() == pytest.approx(1)
    assert all(p.grad is None or not p.grad.any() for p in agent.model.parameters())


def test_the_reference_stays_the_start() -> None:
    agent = DPO(make_lm(dropout=0.3)).learn(Logged(make_episodes(18)), 3, lr=1e-2, batch_size=4)
    assert agent.reference is not None and not agent.reference.training
    assert same_weights(agent.reference.state_dict(), make_lm().model.state_dict())
    assert not same_weights(weights(agent), make_lm().model.state_dict())
    agent.learn(Logged(make_episodes(18)), 1, lr=1e-2, batch_size=4)
    assert same_weights(agent.reference.state_dict(), make_lm().model.state_dict())


@pytest.mark.parametrize("most", [None, 1, 2])
def test_the_best_are_paired_with_the_worst(most: int | None) -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        size = int(rng.integers(1, 30))
        returns, group = rng.integers(4, size=size) / 2, rng.integers(5, size=size)
        expected, ties = set(), 0
        for g in set(group.tolist()):
            members = sorted(np.flatnonzero(group == g).tolist(), key=lambda i: -returns[i])
            for rank in range(len(members) // 2 if most is None else min(most, len(members) // 2)):
                better, worse = returns[members[rank]], returns[members[-1 - rank]]
                ties += better == worse
                expected |= {(g, better, worse)} if better > worse else set()
        pairs, dropped = best_with_worst(returns, group, most)
        assert {(group[a], returns[a], returns[b]) for a, b in pairs} == expected and dropped == ties
        assert (group[pairs[:, 0]] == group[pairs[:, 1]]).all() and len(np.unique(pairs)) == pairs.size


def branching(rng: np.random.Generator, n: int) -> list[Episode]:
    """Two openings, and then up to three turns of few words: many episodes go a part of their way together."""
    found = []
    for _ in range(n):
        tokens, is_action, rewards = [SAY, int(rng.integers(2))], [0, 0], [0.0, 0.0]
        for _ in range(rng.integers(1, 4)):
            tokens += [int(rng.integers(2)), END, int(rng.integers(2))]
            is_action += [1, 1, 0]
            rewards += [0.0, float(rng.normal()), 0.0]
        found.append(episode(tokens, is_action, rewards))
    return found


def test_episodes_are_paired_within_their_context() -> None:
    log = branching(np.random.default_rng(0), 31)
    pairs = LoggedPairs(Logged(log), "episode", END)
    assert pairs.ties == 0 and 14 <= len(pairs) <= 15
    returns: dict[bytes, set[float]] = {e.tokens[:-1].tobytes(): set() for e in log}  # without the last reply
    for e in log:
        returns[e.tokens[:-1].tobytes()].add(round(e.ret, 4))
    drawn = pairs.sample(len(pairs))
    for better, worse in zip(list(drawn)[0::2], list(drawn)[1::2], strict=True):
        assert better.ret > worse.ret and (better.tokens[:2] == worse.tokens[:2]).all()
        for e in (better, worse):
            assert round(e.ret, 4) in returns[e.tokens.tobytes()] and e.is_action[-1]


@pytest.mark.parametrize("live", [False, True])
def test_turns_are_paired_after_the_same_episode_so_far(live: bool) -> None:
    agent = DPO(make_lm(), DPOConfig(per="turn", samples=6))
    source = Live(make_env()) if live else Logged(branching(np.random.default_rng(0), 60))
    drawn = list(agent.prepare(source).sample(200, agent.policy()))
    assert len(drawn) == 400
    starts = set()
    for better, worse in zip(drawn[0::2], drawn[1::2], strict=True):
        a, b = int(better.is_action.argmax()), int(worse.is_action.argmax())
        assert a == b and (better.tokens[:a] == worse.tokens[:a]).all()
        assert better.is_action[a:].all() and worse.is_action[b:].all()  # one utterance, to the end of what is left
        assert END not in better.tokens[a:-1] and END not in worse.tokens[b:-1]
        assert better.ret > worse.ret or (live and np.array_equal(better.tokens, worse.tokens))
        starts.add(a)
    assert len(starts) > 1


def test_an_epoch_of_pairs_hands_out_each_once_and_continues() -> None:
    def fresh() -> LoggedPairs:
        return LoggedPairs(Logged(make_episodes(18), seed=4), "episode", END)

    def keys(drawn: Episodes) -> list[bytes]:
        return [e.tokens.tobytes() + e.rewards.tobytes() for e in drawn]

    source, pieces = fresh(), fresh()
    epochs = [keys(source.sample(9)) for _ in range(3)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == sorted(epochs[2]) and epochs[0] != epochs[1]
    assert [k for n in (4, 11, 12) for k in keys(pieces.sample(n))] == [k for epoch in epochs for k in epoch]
    resumed = fresh()
    source.sample(5)
    resumed.load_state_dict(source.state_dict())
    assert keys(resumed.sample(9)) == keys(source.sample(9))
    with pytest.raises(ValueError, match="another kind of source or to other pairs"):
        resumed.load_state_dict(Live(make_env()).state_dict())


def test_live_pairs_are_as_many_as_asked_for_and_of_one_start() -> None:
    class Mute:
        """Always says the same, so that nothing differs."""

        def act(self, histories: Any, rngs: Any) -> Any:
            from lang_envs import Turn

            return [Turn(np.array([3, END], np.int32)) for _ in rngs]

    source = LivePairs(Live(make_env(), seed=3), "episode", END, samples=4)
    agent = DPO(make_lm())
    drawn = list(source.sample(5, agent.policy()))
    assert len(drawn) == 10 and source.live.played == 12  # three starts, two pairs each
    assert all(a.ret >= b.ret for a, b in zip(drawn[0::2], drawn[1::2], strict=True))
    ties = source.sample(4, Mute())
    assert len(ties) == 8 and (ties.returns[0::2] == ties.returns[1::2]).all()


def test_what_cannot_be_paired_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match=r"None of 3 episodes can be paired.*\(1 ties\)"):
        DPO(make_lm()).prepare(Logged([paid(FINE, 1.0), paid(GOOD, 1.0), paid(AWFUL, 1.0)]))
    with pytest.raises(ValueError, match="reference='start'"):
        DPO(make_lm(), DPOConfig(reference="logged")).prepare(Logged(make_episodes(4)))
    with pytest.raises(ValueError, match="this one has 3"):
        DPO(make_lm()).loss(batch_of(GOOD, BAD, FINE))
    with pytest.raises(ValueError, match="multiple of accumulate"):
        DPO(make_lm()).learn(Logged(make_episodes(8)), 1, batch_size=8, accumulate=3)
    for setting in ({"beta": 0.0}, {"samples": 1}, {"pairs_per_context": 0}, {"per": "token"}):
        with pytest.raises(ValueError, match=next(iter(setting))):
            DPOConfig(**setting)


def test_a_saved_agent_keeps_its_reference_and_learns_on_against_it(tmp_path: Any) -> None:
    def learned(agent: Any) -> Any:
        return agent.learn(Logged(make_episodes(18)), 2, lr=1e-2, batch_size=4)

    saved = learned(DPO(make_lm()))
    loaded = Agent.load(saved.save(tmp_path / "first"))
    again = DPO.load(loaded.save(tmp_path / "second"))  # saved without having learned since
    assert again.reference is not None and not any(p.requires_grad for p in again.reference.parameters())
    assert same_weights(again.reference.state_dict(), make_lm().model.state_dict())
    assert same_weights(weights(learned(again)), weights(learned(saved)))


@pytest.mark.parametrize("per", ["episode", "turn"])
def test_a_resumed_run_is_the_same_run(per: Any, tmp_path: Any) -> None:
    def made() -> DPO:
        return DPO(make_lm(dropout=0.2), DPOConfig(per=per))

    def source() -> Mixed:
        return Mixed(Logged(make_episodes(18), seed=1), Live(make_env(), seed=2))

    settings: dict[str, Any] = {"lr": 1e-2, "batch_size": 4, "schedule_steps": 4}
    whole = made().learn(source(), 4, **settings)
    made().learn(source(), 2, out=tmp_path, **settings)
    resumed = made().learn(source(), 4, out=tmp_path, **settings)
    assert same_weights(weights(whole), weights(resumed))
    assert resumed.reference is not None and whole.reference is not None
    assert same_weights(resumed.reference.state_dict(), whole.reference.state_dict())


def test_the_implicit_reward_orders_the_reviews_that_were_paired() -> None:
    task = MovieReview()
    env: Any = gym.make_vec("MovieReview-v0", 1)
    opening = len(task.opening)
    reviews = [
        paid(episode([*task.opening, *tokens], [0] * opening + [1] * len(tokens), [0.0] * (opening + len(tokens))), r)
        for tokens, r in zip(task.reviews, [review.reward for review in REVIEWS], strict=True)
    ]
    agent = DPO(LM.from_scratch("d64-l2", env, seed=0), DPOConfig(beta=0.5))
    pairs = LoggedPairs(Logged(reviews), "episode", env.end_id)
    agent.learn(Logged(reviews), 30, lr=1e-3, batch_size=4, progress=False)
    drawn = list(pairs.sample(4))
    assert sorted(e.ret for e in drawn) == pytest.approx(sorted(r.reward for r in REVIEWS))
    start = LM.from_scratch("d64-l2", env, seed=0)
    for better, worse in zip(drawn[0::2], drawn[1::2], strict=True):
        h_better, h_worse = (said(agent.lm, e).sum() - said(start, e).sum() for e in (better, worse))
        assert h_better > h_worse + 1


@pytest.mark.parametrize("config", [DPOConfig, RefitConfig, SwiftConfig])
def test_a_reference_is_one_of_two(config: Any) -> None:
    with pytest.raises(ValueError, match="reference must be 'start' or 'logged', not 'Start'"):
        config(reference="Start")
