"""GRPO: its loss and its advantages against plain loops, what it learns, and the settings it refuses."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from test_fixed_points import EACH_ONCE, LOG, TASK
from test_losses_dpo import branching
from test_losses_refit import BAD, GOOD, batch_of, said
from toy_agent import END, make_env, make_episodes, make_lm, same_weights, weights

from agents import BC, GRPO, LM, FitConfig, GRPOConfig, Live, Logged, Mixed, collate, fit
from agents.reference import logprobs
from lang_envs import Episode, rollout
from lang_envs.make import language_vec
from lang_envs.tasks.movie_review import REVIEWS


def moved(agent: Any) -> Any:
    """An agent that is no longer its start."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in agent.model.parameters():
            p.add_(0.05 * torch.randn(p.shape, generator=generator))
    return agent


# The loss


def turns_of(e: Episode) -> list[list[int]]:
    """The places of the tokens of each utterance."""
    turns: list[list[int]] = []
    for t in np.flatnonzero(e.is_action).tolist():
        if turns and turns[-1][-1] == t - 1 and e.tokens[t - 1] != END:
            turns[-1].append(t)
        else:
            turns.append([t])
    return turns


def plain_loss(lm: LM, start: LM, c: GRPOConfig, episodes: list[Episode]) -> float:
    total, count = 0.0, 0
    for e in episodes:
        logp, logp0, recorded = said(lm, e), said(start, e), np.asarray(e.logprobs)[e.is_action]
        advantage = np.concatenate([[e.rewards[turn].sum()] * len(turn) for turn in turns_of(e)])
        of_all = np.exp(min(0.0, (logp - recorded).sum()))
        for lp, lp0, mu, a in zip(logp, logp0, recorded, advantage, strict=True):
            rho = np.exp(lp - mu)
            clipped = min(max(rho, 1 - c.clip_range), 1 + c.clip_range)
            gain = {"clip": min(rho * a, clipped * a), "none": a * lp, "topr": a * lp * (of_all if a < 0 else 1)}
            total += -gain[c.weights] + c.kl_weight * (np.exp(lp0 - lp) - (lp0 - lp) - 1)
            count += 1
    return total / count


@pytest.mark.parametrize("weights", ["clip", "topr", "none"])
@pytest.mark.parametrize("kl_weight", [0.0, 0.3])
def test_the_loss_is_its_equation(weights: Any, kl_weight: float) -> None:
    near = [float("nan"), *np.add(said(make_lm(), BAD), [0.1, -0.3])]  # one of them inside the clip
    bad = dataclasses.replace(BAD, logprobs=np.array(near, np.float32))
    agent = GRPO(make_lm(), GRPOConfig(weights=weights, kl_weight=kl_weight))
    agent.prepare(Live(make_env()))
    loss, _ = moved(agent).loss(batch_of(GOOD, bad, BAD))
    assert loss.item() == pytest.approx(plain_loss(agent.lm, make_lm(), agent.config, [GOOD, bad, BAD]), rel=1e-4)


def test_in_the_clip_s_middle_the_gradient_is_that_of_weighted_cloning() -> None:
    def gradient(weights: Any, behaviour: Any = "start") -> dict[str, torch.Tensor]:
        agent = GRPO(make_lm(), GRPOConfig(weights=weights, behaviour=behaviour))
        agent.loss(batch_of(*(dataclasses.replace(e, logprobs=None) for e in (GOOD, BAD))))[0].backward()
        return {name: p.grad for name, p in agent.model.named_parameters()}

    plain = gradient("none")
    for name, grad in gradient("clip").items():
        torch.testing.assert_close(grad, plain[name], rtol=1e-4, atol=1e-7)


# The advantages


def relative(value: float, others: list[float], scale: bool) -> float:
    deviation = np.std(others)
    return float(value - np.mean(others)) / ((deviation if deviation > 1e-6 else np.inf) if scale else 1)


def plain_advantages(log: list[Episode], c: GRPOConfig) -> dict[bytes, list[float]]:
    """By the tokens and rewards of each episode, the advantages of its turns."""
    contexts: dict[Any, list[float]] = {}
    states: dict[Any, list[float]] = {}
    facts = []
    for e in log:
        turns = turns_of(e)
        opening = tuple(e.tokens[: turns[0][0]])
        contexts.setdefault(opening, []).append(e.ret)
        for k, turn in enumerate(turns):
            to_go = sum(c.gamma**i * e.rewards[later].sum() for i, later in enumerate(turns[k:]))
            heard = e.tokens[(turns[k - 1][-1] + 1 if k and c.anchor == "observation" else 0) : turn[0]]
            states.setdefault((opening, tuple(heard)), []).append(to_go)
            facts.append((e, opening, tuple(heard), to_go))
    found: dict[bytes, list[float]] = {}
    for e, opening, heard, to_go in facts:
        a = relative(e.ret, contexts[opening], c.scale) - c.baseline
        if c.per == "turn":
            a += c.turn_weight * relative(to_go, states[opening, heard], c.scale)
        found.setdefault(e.tokens.tobytes() + np.float32(e.ret).tobytes(), []).append(a)
    return found


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"baseline": 0.4, "scale": False},
        {"per": "turn", "gamma": 0.9},
        {"per": "turn", "anchor": "observation", "gamma": 0.9, "turn_weight": 0.5},
        {"per": "turn", "anchor": "observation", "scale": False},
    ],
)
def test_advantages_are_relative_to_episodes_and_turns_that_began_alike(settings: Any) -> None:
    log, c = branching(np.random.default_rng(0), 40), GRPOConfig(behaviour="start", **settings)
    expected = plain_advantages(log, c)
    assert len(expected) == 40
    by_tokens = {key[:-4]: key for key in expected}
    for e in GRPO(make_lm(), c).prepare(Logged(log)).sample(40):
        if len([k for k in expected if k[:-4] == e.tokens.tobytes()]) > 1:
            continue  # told apart by their rewards alone, which are replaced
        turns = turns_of(e)
        assert [e.rewards[turn[-1]] for turn in turns] == pytest.approx(
            expected[by_tokens[e.tokens.tobytes()]], abs=1e-4
        )
        assert not np.delete(e.rewards, [turn[-1] for turn in turns]).any()


@pytest.mark.parametrize("per", ["episode", "turn"])
def test_live_episodes_are_compared_with_those_of_the_same_start(per: Any) -> None:
    agent, live = GRPO(make_lm(), GRPOConfig(group_size=4, per=per)), Live(make_env(), seed=2)
    source = agent.prepare(live)
    played = source.sample(8, agent.policy())
    seeds = [e.info["seed"] for e in played]
    assert [seeds.count(s) for s in sorted(set(seeds))] == [4, 4] and live.played == 8
    if per == "episode":
        last = [float(e.rewards[turns_of(e)[-1][-1]]) for e in played]  # all turns of an episode have the same
        assert sum(last[:4]) == pytest.approx(0, abs=1e-5) == sum(last[4:])


def test_a_step_makes_its_updates_on_the_same_episodes() -> None:
    for epochs in (1, 3):
        live = Live(make_env(), seed=2)
        agent = GRPO(make_lm(), GRPOConfig(epochs=epochs, group_size=4))
        [row] = fit(agent, live, 1, FitConfig(lr=1e-2, batch_size=8))
        assert live.played == 8 and agent.step == 1
        assert (row["policy/kl"] == pytest.approx(0, abs=1e-5)) == (epochs == 1)  # rho is 1 in the first one


# What it learns


@pytest.fixture(scope="module")
def env() -> Any:
    return language_vec("MovieReview-v0", 64)


def cloned(env: Any, log: list[Episode]) -> LM:
    lm = LM.from_scratch("d64-l2", env, seed=0)
    BC(lm).learn(Logged(log), 80, lr=3e-3, batch_size=len(log), progress=False)
    return lm


def recorded(e: Episode) -> Episode:
    logp = np.full(len(e), np.nan, np.float32)
    for t in np.flatnonzero(e.is_action):
        logp[t] = np.log(TASK.behaviour_policy(e.tokens[:t])[e.tokens[t]])
    return dataclasses.replace(e, logprobs=logp)


def probabilities(agent: Any, env: Any) -> Any:
    """Of each review."""
    with torch.no_grad():
        return logprobs(agent.model.eval(), collate(EACH_ONCE, env.pad_id, env.end_id)).sum(1).exp().numpy()


def earned(agent: Any, env: Any) -> float:
    [episode] = rollout(env, agent.policy(greedy=True), [0])
    return float(episode.ret)


def test_from_its_own_episodes_it_finds_the_best_review(env: Any) -> None:
    agent = GRPO(cloned(env, EACH_ONCE), GRPOConfig(group_size=32, epochs=2))
    agent.learn(Live(env, seed=1), 25, lr=1e-3, batch_size=64, progress=False)
    assert earned(agent, env) == 1.0


def test_from_a_log_it_writes_what_is_above_the_mean_by_how_much(env: Any) -> None:
    log = [recorded(e) for e in LOG]
    agent = GRPO(cloned(env, LOG), GRPOConfig(weights="topr"))
    agent.learn(Logged(log), 100, lr=2e-3, batch_size=50, progress=False)
    mass = np.array([r.share * max(0, r.reward - TASK.behaviour_return) for r in REVIEWS])
    assert probabilities(agent, env) == pytest.approx(mass / mass.sum(), abs=0.04)


def test_from_a_log_a_high_baseline_leaves_the_best_review(env: Any) -> None:
    agent = GRPO(cloned(env, LOG), GRPOConfig(weights="topr", baseline=1.2))
    agent.learn(Logged([recorded(e) for e in LOG]), 60, lr=2e-3, batch_size=50, progress=False)
    assert earned(agent, env) == 1.0


# Runs


def test_a_resumed_run_is_the_same_run(tmp_path: Any) -> None:
    def made() -> GRPO:
        return GRPO(make_lm(), GRPOConfig(behaviour="start", per="turn", group_size=4, epochs=2, kl_weight=0.1))

    def source() -> Mixed:
        return Mixed(Logged(make_episodes(18), seed=1), Live(make_env(), seed=2))

    settings: dict[str, Any] = {"lr": 1e-2, "batch_size": 8, "schedule_steps": 4}
    whole = made().learn(source(), 4, **settings)
    made().learn(source(), 2, out=tmp_path, **settings)
    assert same_weights(weights(whole), weights(made().learn(source(), 4, out=tmp_path, **settings)))


def test_what_cannot_be_learned_from_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match=r"behaviour='logged' needs.*set behaviour='start'"):
        GRPO(make_lm()).prepare(Logged(make_episodes(4)))
    GRPO(make_lm(), GRPOConfig(weights="none")).prepare(Logged(make_episodes(4)))
    for setting in (
        {"group_size": 1},
        {"per": "token"},
        {"anchor": "word"},
        {"weights": "gspo"},
        {"clip_range": 0.0},
        {"epochs": 0},
        {"gamma": 1.5},
        {"kl_weight": -1.0},
        {"behaviour": "Start"},
    ):
        with pytest.raises(ValueError, match=next(iter(setting))):
            GRPOConfig(**setting)
