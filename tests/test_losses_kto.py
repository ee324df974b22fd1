"""KTO: its loss against plain loops, how openings are mismatched, and what it makes likelier."""

from typing import Any

import numpy as np
import pytest
import torch
from test_fixed_points import EACH_ONCE, LOG, TASK
from test_losses_grpo import cloned, earned, moved, probabilities
from test_losses_refit import BAD, GOOD, batch_of, episode, paid, said
from toy_agent import END, SAY, make_env, make_episodes, make_lm

from agents import KTO, LM, FitConfig, KTOConfig, Live, Logged, fit
from agents.data.mismatched import mismatched
from lang_envs import Episode
from lang_envs.make import language_vec
from lang_envs.tasks.movie_review import REVIEWS

LONG = episode([SAY, 1, 2, 6, END, 3, 5, END], [0, 0, 0, 1, 1, 0, 1, 1], [0, 0, 0, 0, 0, 0, 0, 1.0])
EPISODES = [GOOD, BAD, LONG, paid(BAD, -2.0), paid(LONG, -0.5)]


def after(opening: Episode, rest: Episode) -> Episode:
    """What followed the opening of one episode, behind that of another."""
    a, b = int(opening.is_action.argmax()), int(rest.is_action.argmax())
    is_action = [0] * a + rest.is_action[b:].tolist()
    return episode([*opening.tokens[:a].tolist(), *rest.tokens[b:].tolist()], is_action, [0.0] * len(is_action))


def h(lm: LM, e: Episode) -> float:
    return float((said(lm, e) - said(make_lm(), e)).sum())


@pytest.mark.parametrize("beta", [0.1, 2.0])
@pytest.mark.parametrize("sign", [1, -1])
def test_the_loss_is_its_equation(beta: float, sign: int) -> None:
    agent = KTO(make_lm(), KTOConfig(beta=beta))
    agent.prepare(Logged(EPISODES))
    with torch.no_grad():
        for p, q in zip(agent.model.parameters(), moved(KTO(make_lm())).model.parameters(), strict=True):
            p.add_(sign * (q - p))  # one way z0 is positive, the other way cut at 0
    neighbours = [1, 0, 3, 2, 4]
    z0 = max(0.0, np.mean([h(agent.lm, after(e, EPISODES[j])) for e, j in zip(EPISODES, neighbours, strict=True)]))
    total = 0.0
    for e in EPISODES:
        margin = np.sign(e.ret) * (h(agent.lm, e) - z0)
        total += abs(e.ret) * (1 - 1 / (1 + np.exp(-beta * margin)))
    loss, metrics = agent.loss(batch_of(*EPISODES))
    assert loss.item() == pytest.approx(total / sum(e.num_actions for e in EPISODES), rel=1e-4)
    assert metrics["policy/z0"].item() == pytest.approx(z0, rel=1e-4, abs=1e-6)


def test_an_opening_gets_what_followed_its_neighbours() -> None:
    expected = batch_of(*(after(EPISODES[i], EPISODES[j]) for i, j in ((0, 1), (1, 0), (2, 3), (3, 2), (4, 4))))
    found = mismatched(batch_of(*EPISODES), None)
    length = expected.attention_mask.sum(1)
    for row, n in enumerate(length.tolist()):
        assert found.input_ids[row, :n].tolist() == expected.input_ids[row, :n].tolist()
        assert int(found.attention_mask[row].sum()) == n
        k = int(expected.mask[row].sum())
        assert found.state[row, :k].tolist() == expected.state[row, :k].tolist()
        assert found.action[row, :k].tolist() == expected.action[row, :k].tolist() and found.mask[row].sum() == k
    cut = mismatched(batch_of(*EPISODES), 5)
    assert cut.input_ids.shape[1] == 5 and (cut.state * cut.mask < 4).all()
    assert cut.mask.sum(1).tolist() == [2, 3, 2, 3, 2]


@pytest.mark.parametrize("accumulate", [1, 2, 5])
def test_z0_is_that_of_the_whole_batch(accumulate: int) -> None:
    agent = KTO(make_lm(), KTOConfig(threshold=0.0, desirable_weight=1.0))
    agent.prepare(Logged(EPISODES))
    moved(agent)
    expected, _ = agent.loss(batch_of(*(paid(e, np.sign(e.ret)) for e in EPISODES)))
    log = Logged(EPISODES)
    log._order = np.arange(5)
    [row] = fit(agent, log, 1, FitConfig(lr=0.0, batch_size=5, accumulate=accumulate))
    assert row["loss"] == pytest.approx(expected.item(), rel=1e-4)


@pytest.mark.parametrize(
    ("settings", "desirable", "weights"),
    [
        ({}, [1, 1, 0, 0], (1.0, -1.0)),
        ({"threshold": 2.0}, [1, 0, 0, 0], (3.0, -1.0)),
        ({"threshold": 2.0, "desirable_weight": 0.5, "undesirable_weight": 2.0}, [1, 0, 0, 0], (0.5, -2.0)),
    ],
)
def test_returns_say_what_is_desirable(settings: Any, desirable: list[int], weights: tuple[float, float]) -> None:
    log = [paid(BAD, r) for r in (4.0, 1.5, 0.5, -1.0)]
    found = KTO(make_lm(), KTOConfig(**settings)).prepare(Logged(log, seed=0)).sample(4)
    expected = sorted(weights[0] if d else weights[1] for d in desirable)
    assert sorted(found.returns) == pytest.approx(expected)


def test_live_returns_are_compared_with_those_of_the_batch() -> None:
    agent = KTO(make_lm())
    found = agent.prepare(Live(make_env(), seed=2)).sample(16, agent.policy()).returns
    assert found[found < 0].sum() == pytest.approx(-found[found > 0].sum()) and len(np.unique(found)) == 2


def test_the_desirable_becomes_likelier_and_the_rest_less() -> None:
    env = language_vec("MovieReview-v0", 8)
    agent = KTO(cloned(env, LOG))
    before = probabilities(agent, env)
    agent.learn(Logged(LOG), 30, lr=1e-3, batch_size=50, progress=False)
    up = np.array([r.reward >= TASK.behaviour_return for r in REVIEWS])
    now = probabilities(agent, env)
    assert now[up].sum() > before[up].sum() + 0.2 and (now[~up] < before[~up]).all()
    best = KTO(cloned(env, EACH_ONCE), KTOConfig(threshold=0.9))
    best.learn(Logged(EACH_ONCE), 50, lr=1e-3, batch_size=8, progress=False)
    assert earned(best, env) == 1.0


def test_what_cannot_be_meant_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match="one side of the threshold"):
        KTO(make_lm(), KTOConfig(threshold=99.0)).prepare(Logged(make_episodes(8)))
    for setting in ({"beta": 0.0}, {"desirable_weight": 0.0}, {"undesirable_weight": -1.0}):
        with pytest.raises(ValueError, match=next(iter(setting))):
            KTOConfig(**setting)
