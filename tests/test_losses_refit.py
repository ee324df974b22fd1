"""Refit and Swift: their losses against plain loops, their weights against their definition, and their fixed points."""

import dataclasses
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from toy_agent import END, PAD, SAY, make_env, make_episodes, make_lm, same_weights, weights

from agents import (
    BC,
    LM,
    Batch,
    BCConfig,
    FitConfig,
    Live,
    Logged,
    Mixed,
    Refit,
    RefitConfig,
    Swift,
    SwiftConfig,
    collate,
    fit,
)
from agents.data import contexts as contexts_module
from agents.data.source import Source
from lang_envs import Episode
from lang_envs.tasks.movie_review import REVIEWS, MovieReview

NAN = np.nan


def episode(tokens: list[int], said: list[int], rewards: list[float], logprobs: list[float] | None = None) -> Episode:
    known = None if logprobs is None else np.array(logprobs, np.float32)
    return Episode(
        np.array(tokens, np.int32), np.array(said, bool), np.array(rewards, np.float32), True, logprobs=known
    )


# Two utterances with a reply between them, and a single one that was cut before its end token.
GOOD = episode([SAY, 3, END, 4, 5, END], [0, 1, 1, 0, 1, 1], [0, 0, 0.5, 0, 0, 1.0], [NAN, -2.0, -1.0, NAN, -3.0, -0.5])
BAD = episode([SAY, 7, 2], [0, 1, 1], [0, 0, -0.7], [NAN, -4.0, -2.5])


def batch_of(*episodes: Episode) -> Batch:
    return collate(list(episodes), PAD, END)


def said(lm: LM, e: Episode) -> np.ndarray:
    """log pi of what the agent said in an episode, one forward pass for it alone."""
    with torch.no_grad():
        logp = lm.model(torch.tensor(e.tokens[None]).long()).logits[0].log_softmax(-1).numpy()
    return np.array([logp[t - 1, e.tokens[t]] for t in range(len(e)) if e.is_action[t]])


def gradient(agent: Any, *episodes: Episode) -> dict[str, torch.Tensor]:
    agent.model.zero_grad()
    agent.loss(batch_of(*episodes))[0].backward()
    return {name: p.grad.clone() for name, p in agent.model.named_parameters()}


def paid(e: Episode, weight: float) -> Episode:
    """The same episode with another return."""
    rewards = np.zeros(len(e), np.float32)
    rewards[np.flatnonzero(e.is_action)[-1]] = weight
    return dataclasses.replace(e, rewards=rewards)


@pytest.mark.parametrize("cls", [Refit, Swift])
def test_the_loss_is_the_weighted_sum_over_the_tokens_said(cls: Any) -> None:
    lm = make_lm()
    loss, metrics = cls(lm).loss(batch_of(GOOD, BAD))
    expected = -(1.5 * said(lm, GOOD).sum() - 0.7 * said(lm, BAD).sum()) / 6
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    kl = (np.array([-2, -1, -3, -0.5, -4, -2.5]) - np.concatenate([said(lm, GOOD), said(lm, BAD)])).mean()
    assert metrics["policy/kl"].item() == pytest.approx(kl, rel=1e-5)
    assert metrics["policy/malformed"].item() == pytest.approx(2 / 6)
    if cls is Swift:
        assert metrics["policy/negatives"].item() == pytest.approx(2 / 6)
        assert metrics["policy/negative_logp"].item() == pytest.approx(said(lm, BAD).sum() / 6, rel=1e-5)


@pytest.mark.parametrize("cls", [Refit, Swift])
def test_the_divergence_counts_certainties_and_leaves_out_what_is_unknown(cls: Any) -> None:
    certain = dataclasses.replace(GOOD, logprobs=np.array([NAN, 0.0, 0.0, NAN, NAN, -0.5], np.float32))
    unknown = dataclasses.replace(paid(BAD, 0.7), logprobs=None)
    agent = cls(make_lm())
    _, metrics = agent.loss(batch_of(certain, unknown))
    said_there = said(agent.lm, GOOD)[[0, 1, 3]]
    assert metrics["policy/kl"].item() == pytest.approx((np.array([0, 0, -0.5]) - said_there).mean(), rel=1e-5)
    assert metrics["policy/recorded"].item() == pytest.approx(3 / 6)
    _, metrics = agent.loss(batch_of(unknown))
    assert metrics["policy/kl"] == metrics["policy/recorded"] == 0


def test_refits_gradient_is_that_of_reward_weighted_cloning() -> None:
    agent, cloner = Refit(make_lm()), BC(make_lm())
    found = gradient(agent, GOOD, paid(BAD, 0.25))
    good, bad = gradient(cloner, GOOD), gradient(cloner, BAD)  # means over 4 and over 2 tokens
    for name, grad in found.items():
        torch.testing.assert_close(grad, (1.5 * 4 * good[name] + 0.25 * 2 * bad[name]) / 6, rtol=1e-4, atol=1e-6)


def test_equal_rewards_make_refit_cloning_and_swift_nothing() -> None:
    alike = [paid(e, 0.6) for e in make_episodes(12)]
    clone = gradient(BC(make_lm()), *alike)
    for name, grad in gradient(Refit(make_lm()), *alike).items():
        torch.testing.assert_close(grad, 0.6 * clone[name], rtol=1e-4, atol=1e-6)
    agent = Swift(make_lm())
    before = weights(agent)
    rows = list(fit(agent, Logged(alike), 3, FitConfig(lr=1e-2, batch_size=4)))
    assert same_weights(before, weights(agent)) and rows[-1]["policy/unweighted"] == pytest.approx(1)


@pytest.mark.parametrize("negatives", ["keep", "clip", "taper", "linear"])
@pytest.mark.parametrize("reference", ["logged", "start"])
def test_what_is_made_of_negative_weights(negatives: Any, reference: Any) -> None:
    lm = make_lm()
    agent = Swift(lm, SwiftConfig(negatives=negatives, reference=reference))
    recorded = float(np.nansum(np.asarray(BAD.logprobs)))
    if reference == "start":
        recorded = said(lm, BAD).sum()
        agent.prepare(Logged([GOOD, BAD]))
        with torch.no_grad():
            for p in agent.model.parameters():
                p.mul_(1.05)
    good, bad = said(lm, GOOD), said(lm, BAD)
    ratio = min(1.0, np.exp(bad.sum() - recorded))
    worth = {"keep": bad.sum(), "clip": 0.0, "taper": ratio * bad.sum(), "linear": np.exp(bad).sum()}[negatives]
    loss, _ = agent.loss(batch_of(GOOD, BAD))
    assert loss.item() == pytest.approx(-(1.5 * good.sum() - 0.7 * worth) / 6, rel=1e-4)


@pytest.mark.parametrize(("logp0", "ratio"), [([-20.0, -20.0], 1.0), ([-0.01, -0.01], None)])
def test_a_tapered_negative_has_no_gradient_through_its_ratio(logp0: list[float], ratio: float | None) -> None:
    lm = make_lm()
    bad = dataclasses.replace(BAD, logprobs=np.array([NAN, *logp0], np.float32))
    if ratio is None:  # the policy finds it less likely than the behaviour did
        ratio = float(np.exp(said(lm, bad).sum() - sum(logp0)))
        assert ratio < 0.1
    kept, tapered = (gradient(Swift(lm, SwiftConfig(negatives=n)), bad) for n in ("keep", "taper"))
    for name, grad in tapered.items():
        torch.testing.assert_close(grad, ratio * kept[name], rtol=1e-4, atol=1e-7)


def in_contexts(rng: np.random.Generator) -> list[Episode]:
    """Episodes of five openings, one of which always pays the same, in an order drawn at random."""
    found = [
        episode([SAY, *opening, said, END], [0] * (1 + len(opening)) + [1, 1], [0] * (2 + len(opening)) + [paid])
        for opening in ([], [1], [1, 2], [2, 1])
        for said, paid in zip(rng.integers(8, size=7).tolist(), rng.normal(3, 2, 7).tolist(), strict=True)
    ]
    found += [episode([SAY, 7, int(s), END], [0, 0, 1, 1], [0, 0, 0, 0.3]) for s in rng.integers(8, size=4)]
    return [found[i] for i in rng.permutation(len(found))]


def context_of(e: Episode) -> tuple[int, ...]:
    return tuple(e.tokens[: int(e.is_action.argmax())].tolist())


@pytest.mark.parametrize("seed", [0, 1])
def test_swifts_weights_sum_to_zero_in_a_context_with_unit_deviation(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contexts_module, "_AT_ONCE", 5)  # several passes
    rng = np.random.default_rng(seed)
    log = in_contexts(rng)
    source = Swift(make_lm()).prepare(Logged(log, seed=seed))
    by_context: dict[tuple[int, ...], list[float]] = {}
    for e in source.sample(len(log)):
        by_context.setdefault(context_of(e), []).append(e.ret)
        assert e.rewards[:-1].sum() == 0
    assert sorted(map(len, by_context.values())) == [4, 7, 7, 7, 7]
    for context, found in by_context.items():
        assert np.sum(found) == pytest.approx(0, abs=1e-5)
        assert np.std(found) == pytest.approx(0 if context == (SAY, 7) else 1, rel=1e-5)


def test_an_episode_weighs_the_same_wherever_it_stands() -> None:
    rng = np.random.default_rng(3)
    log = in_contexts(rng)

    def weighed(source: Source) -> list[Any]:
        return sorted((e.tokens.tolist(), round(e.ret, 4)) for _ in range(4) for e in source.sample(len(log) // 4))

    shuffled = [log[i] for i in rng.permutation(len(log))]
    assert weighed(Swift(make_lm()).prepare(Logged(log))) == weighed(Swift(make_lm()).prepare(Logged(shuffled, seed=5)))


def test_live_returns_are_standardised_among_episodes_of_one_start() -> None:
    agent = Swift(make_lm(), SwiftConfig(group_size=4))
    plain = Live(make_env(), seed=2)
    source = agent.prepare(plain)
    first, second = (source.sample(8, agent.policy()) for _ in range(2))
    seeds = [e.info["seed"] for e in [*first, *second]]
    assert [seeds.count(s) for s in sorted(set(seeds))] == [4, 4, 4, 4]
    for group in (first.returns[:4], first.returns[4:], second.returns[:4], second.returns[4:]):
        assert group.sum() == pytest.approx(0, abs=1e-5)
        assert group.std() == pytest.approx(1, rel=1e-5) or not group.any()
    assert len({e.tokens.tobytes() for e in first}) > 2  # the policy's chances differ
    assert plain.played == 16


def test_refit_refuses_negative_returns_and_can_shift_them() -> None:
    log = Logged([GOOD, BAD, paid(BAD, 0.1)])
    with pytest.raises(ValueError, match=r"one is -0\.7.*shift_rewards=True"):
        Refit(make_lm()).prepare(log)
    with pytest.raises(ValueError, match="shift_rewards=True"):
        agent = Refit(make_lm())
        agent.prepare(Live(make_env())).sample(8, agent.policy())
    shifted = Refit(make_lm(), RefitConfig(shift_rewards=True)).prepare(log).sample(3)
    assert sorted(shifted.returns) == pytest.approx([0, 0.8, 2.2], rel=1e-5)
    fine = Logged([GOOD, paid(BAD, 0.1)])
    assert sorted(Refit(make_lm()).prepare(fine).sample(2).returns) == pytest.approx([0.1, 1.5])


def test_exponential_weights_take_any_rewards() -> None:
    log = Logged([GOOD, BAD, paid(BAD, 0.5)])
    weighed = Refit(make_lm(), RefitConfig(temperature=0.5)).prepare(log).sample(3)
    assert sorted(weighed.returns) == pytest.approx([np.exp(-4.4), np.exp(-2.0), 1.0], rel=1e-5)
    agent = Refit(make_lm(), RefitConfig(temperature=2.0))
    played = agent.prepare(Live(make_env())).sample(8, agent.policy()).returns
    assert played.max() == 1 and (played > 0).all()
    with pytest.raises(ValueError, match="temperature must be above 0"):
        RefitConfig(temperature=0.0)
    with pytest.raises(ValueError, match="leave shift_rewards off"):
        RefitConfig(temperature=1.0, shift_rewards=True)


def test_cloning_can_keep_the_best_of_each_context() -> None:
    other = dataclasses.replace(GOOD, tokens=np.array([6, *GOOD.tokens[1:]], np.int32))
    log = Logged([paid(BAD, 1), paid(GOOD, 3), paid(other, 2), paid(BAD, 3), paid(other, -1)], seed=5)
    kept = BC(make_lm(), BCConfig(keep_best=1)).prepare(log)
    assert isinstance(kept, Logged) and kept.seed == 5
    assert [e.same_as(x) for e, x in zip(kept.data, (paid(GOOD, 3), paid(other, 2)), strict=True)] == [True, True]
    two = BC(make_lm(), BCConfig(keep_best=2, keep_above=0)).prepare(log)
    assert isinstance(two, Logged) and list(two.data.returns) == [3, 2, 3]
    with pytest.raises(ValueError, match="at least 1 episode of each context"):
        BCConfig(keep_best=0)


def test_tapering_needs_the_recorded_log_probabilities_or_a_start() -> None:
    log = Logged([GOOD, *make_episodes(2)])
    with pytest.raises(ValueError, match=r"episode 1 lacks some.*reference='start'"):
        Swift(make_lm(), SwiftConfig(negatives="taper")).prepare(log)
    Swift(make_lm(), SwiftConfig(negatives="taper", reference="start")).prepare(log)
    Swift(make_lm(), SwiftConfig(negatives="taper")).prepare(Logged([GOOD, BAD]))


def test_settings_that_cannot_be_meant() -> None:
    with pytest.raises(ValueError, match="negatives must be"):
        SwiftConfig(negatives="ignore")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="group_size must be at least 2"):
        SwiftConfig(group_size=1)
    with pytest.raises(TypeError, match="not in a object"):
        Swift(make_lm()).prepare(object())  # type: ignore[arg-type]


@pytest.mark.parametrize("negatives", ["keep", "taper"])
def test_a_resumed_run_is_the_same_run(negatives: Any, tmp_path: Any) -> None:
    def made() -> Swift:
        return Swift(make_lm(), SwiftConfig(negatives=negatives, reference="start"))

    def source() -> Mixed:
        return Mixed(Logged(make_episodes(18), seed=1), Live(make_env(), seed=2))

    settings: dict[str, Any] = {"lr": 1e-2, "batch_size": 8, "schedule_steps": 4}
    whole = made().learn(source(), 4, **settings)
    made().learn(source(), 2, out=tmp_path, **settings)
    assert same_weights(weights(whole), weights(made().learn(source(), 4, out=tmp_path, **settings)))


def test_refit_writes_a_review_as_often_as_its_share_times_its_reward() -> None:
    """The optimum of Refit's objective in one context is pi0 r, normalised."""
    env, task = gym.make_vec("MovieReview-v0", 1), MovieReview()
    log = []
    for tokens, review in zip(task.reviews, REVIEWS, strict=True):
        size = len(task.opening) + len(tokens)
        is_action = np.arange(size) >= len(task.opening)
        rewards = np.where(np.arange(size) == size - 1, review.reward, 0).astype(np.float32)
        e = Episode(np.array([*task.opening, *tokens], np.int32), is_action, rewards, True)
        log += [e] * round(50 * review.share)
    lm = LM.from_scratch("d64-l2", env, seed=0)
    Refit(lm, RefitConfig(shift_rewards=True)).learn(Logged(log), 60, lr=5e-3, batch_size=50, progress=False)
    mass = np.array([r.share * (r.reward + 1) for r in REVIEWS])
    opening = len(task.opening)
    for tokens, expected in zip(task.reviews, mass / mass.sum(), strict=True):
        ids = np.array([*task.opening, *tokens], np.int32)
        e = episode(ids.tolist(), [0] * opening + [1] * len(tokens), [0.0] * len(ids))
        assert np.exp(said(lm, e).sum()) == pytest.approx(expected, abs=0.03)
