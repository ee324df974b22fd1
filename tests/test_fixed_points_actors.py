"""The fixed points of ArCHer and OREO on MovieReview: values of utterances or states, and the policies from them."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from test_fixed_points import EACH_ONCE, FIT, LOG, TASK
from transformers import GPT2LMHeadModel

from agents import BC, LM, OREO, ArCHer, ArCHerConfig, BCConfig, Logged, OREOConfig, collate
from agents.evaluation.tabular import group_expectile
from agents.reference import logprobs
from agents.utterance_ilql import judge
from lang_envs import rollout
from lang_envs.tasks.movie_review import REVIEWS

REWARDS, SHARES = (np.array([getattr(review, name) for review in REVIEWS]) for name in ("reward", "share"))


@pytest.fixture(scope="module")
def env() -> Any:
    return gym.make_vec("MovieReview-v0", 1)


def small(env: Any) -> LM:
    lm = LM.from_scratch("d64-l2", env)
    lm.model.config.n_layer = 1  # enough to tell "good" after "was" from "good" after "wasn't"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        lm.model = GPT2LMHeadModel(lm.model.config)
    return lm


def written_by(model: Any, env: Any) -> Any:
    """The probability of each review [8]."""
    with torch.inference_mode():
        return logprobs(model, collate(EACH_ONCE, env.pad_id, env.end_id)).sum(1).exp().double().numpy()


def normalised(weights: Any) -> Any:
    return weights / weights.sum()


def test_archer_knows_what_each_review_is_worth_and_writes_by_it(env: Any) -> None:
    config = ArCHerConfig(awr_temperature=0.1, max_weight=100.0, target_rate=0.2)
    agent = ArCHer(small(env), config, seed=0).learn(Logged(LOG), 120, **FIT | {"lr": 5e-3})
    _, q, v = judge(agent.model.eval(), collate(EACH_ONCE, env.pad_id, env.end_id))
    assert q.tolist() == pytest.approx(REWARDS.tolist(), abs=0.15)
    returns = np.array([episode.ret for episode in LOG])
    value = group_expectile(returns, np.zeros(len(LOG), int), 0.9)[0]
    assert v.tolist() == pytest.approx([value] * 8, abs=0.05)
    expected = normalised(SHARES * np.exp((REWARDS - value) / 0.1).clip(max=100.0))
    assert np.abs(written_by(agent.language_model, env) - expected).max() < 0.06
    (episode,) = rollout(env, agent.policy(greedy=True), [0])
    assert episode.ret == 1 and expected.argmax() != SHARES.argmax()


@pytest.fixture(scope="module")
def cloned(env: Any) -> dict[str, torch.Tensor]:
    agent = BC(small(env), BCConfig()).learn(Logged(LOG), 100, **FIT | {"lr": 5e-3})
    return agent.model.state_dict()


@pytest.mark.parametrize("per", ["token", "episode"])
def test_oreo_finds_the_soft_values_and_the_policy_that_they_make(per: Any, env: Any, cloned: Any) -> None:
    lm, beta = small(env), 0.25
    lm.model.load_state_dict(cloned)
    prior = written_by(lm.model, env)
    agent = OREO(lm, OREOConfig(beta=beta, per=per), seed=0).learn(Logged(LOG), 120, **FIT)
    paid = prior * np.exp(REWARDS / beta)  # [8]
    assert np.abs(written_by(agent.language_model, env) - normalised(paid)).max() < 0.04
    assert np.abs(normalised(paid) - SHARES).max() > 0.15
    batch = collate(EACH_ONCE, env.pad_id, env.end_id)
    with torch.inference_mode():
        v = batch.in_rows(agent.model.eval().state_values(batch)).numpy()  # [8, A]
    for row, said in enumerate(TASK.reviews):
        for i in range(len(said) if per == "token" else 1):
            alike = [k for k, other in enumerate(TASK.reviews) if other[:i] == said[:i]]
            soft = beta * np.log(paid[alike].sum() / prior[alike].sum())
            assert v[row, i] == pytest.approx(soft, abs=0.1)
