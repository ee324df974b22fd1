"""Q-SFT: its loss against a plain loop, its fixed point, and how it speaks."""

from typing import Any

import numpy as np
import pytest
import torch
from test_fixed_points import EACH_ONCE, TASK
from test_losses_grpo import cloned, earned, moved
from test_losses_refit import BAD, GOOD, batch_of, paid
from toy_agent import END, PAD, SAY, make_env, make_episodes, make_lm

from agents import LM, QSFT, Agent, Live, Logged, QSFTConfig
from lang_envs import Episode
from lang_envs.make import language_vec


def scored(lm: LM, e: Episode) -> np.ndarray:
    """log p of every token after each prefix, [T, V]."""
    with torch.no_grad():
        return lm.model(torch.tensor(e.tokens[None]).long()).logits[0].log_softmax(-1).numpy()


def plain_loss(lm: LM, c: QSFTConfig, episodes: list[Episode]) -> float:
    total, count, span = 0.0, 0, c.high - c.low
    for e in episodes:
        logp, logp0 = scored(lm, e), scored(make_lm(), e)
        taken = np.flatnonzero(e.is_action)
        for i, t in enumerate(taken):
            after = taken[i + 1] - 1 if i + 1 < len(taken) else len(e) - 1
            p, p0 = np.exp(logp[after]), np.exp(logp0[after])
            best = max(min(1.0, p[a] / p0[a]) if p0[a] >= c.support and a != PAD else 0.0 for a in range(len(p)))
            goes_on = 0.0 if e.terminated and i + 1 == len(taken) else 1.0
            target = e.rewards[t] + c.gamma * goes_on * (c.low + span * best)
            w = min(1.0, max(0.0, (target - c.low) / span))
            counts = 1.0 if e.logprobs is None else min(10.0, np.exp(logp0[t - 1, e.tokens[t]] - e.logprobs[t]))
            total -= counts * (w * logp[t - 1, e.tokens[t]] + (1 - w) * logp[t - 1, PAD])
            count += 1
    return total / count


@pytest.mark.parametrize("support", [1e-3, 0.14])
def test_the_loss_is_its_equation(support: float) -> None:
    c = QSFTConfig(gamma=0.9, low=-2.0, high=1.5, support=support)
    agent = QSFT(make_lm(), c)
    agent.prepare(Live(make_env()))
    episodes = [*make_episodes(6), GOOD, BAD]  # of the last two it is recorded how likely they were
    loss, _ = moved(agent).loss(batch_of(*episodes))
    assert loss.item() == pytest.approx(plain_loss(agent.lm, c, episodes), rel=1e-4)


def test_probabilities_are_those_of_the_log_times_the_best_that_can_follow() -> None:
    env = language_vec("MovieReview-v0", 1)
    agent = QSFT(cloned(env, EACH_ONCE), QSFTConfig(gamma=0.95))
    agent.learn(Logged(EACH_ONCE), 280, lr=5e-3, batch_size=8, progress=False)
    assert (agent.config.low, agent.config.high) == (-1.0, 1.0)
    for e in EACH_ONCE:
        p, p0 = np.exp(scored(agent.lm, e)), np.exp(scored(LM(agent.reference, env.tokenizer, 12), e))
        for t in np.flatnonzero(e.is_action):
            exact = (TASK.optimal_q(e.tokens[:t], 0.95)[e.tokens[t]] + 1) / 2  # from [-1, 1] to [0, 1]
            assert p[t - 1, e.tokens[t]] / p0[t - 1, e.tokens[t]] == pytest.approx(exact, abs=0.1)
    assert earned(agent, env) == 1.0


def test_the_range_is_that_of_the_log() -> None:
    log = make_episodes(12)
    agent = QSFT(make_lm())
    agent.prepare(Logged(log))
    assert (agent.config.low, agent.config.high) == (log.returns.min(), log.returns.max())
    agent = QSFT(make_lm(), QSFTConfig(high=7.0))
    agent.prepare(Logged([paid(e, 2.0) for e in log]))
    assert (agent.config.low, agent.config.high) == (0.0, 7.0)


def test_it_speaks_as_the_start_does_where_values_count_for_nothing(tmp_path: Any) -> None:
    agent = QSFT(make_lm(), QSFTConfig(low=-3.0, high=3.0)).learn(Logged(make_episodes(18)), 20, lr=1e-2, batch_size=8)
    start = QSFT(make_lm())
    history = [np.array([SAY], np.int32)] * 16

    def words(policy: Any) -> list[list[int]]:
        rngs = [np.random.default_rng(i) for i in range(16)]
        return [turn.tokens.tolist() for turn in policy.act(history, rngs)]

    assert words(agent.policy(q_weight=0.0)) == words(start.policy()) != words(agent.policy(q_weight=50.0))
    loaded = Agent.load(agent.save(tmp_path / "agent"))
    assert words(loaded.policy()) == words(agent.policy())


def test_what_cannot_be_meant_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="set low and high"):
        QSFT(make_lm()).prepare(Live(make_env()))
    monkeypatch.setattr(LM, "pad_id", END)
    with pytest.raises(ValueError, match="Set dummy to the id"):
        QSFT(make_lm()).prepare(Logged(make_episodes(4)))
    for setting in ({"gamma": 2.0}, {"support": 0.0}, {"low": 1.0, "high": 1.0}):
        with pytest.raises(ValueError, match=next(iter(setting))):
            QSFTConfig(**setting)
