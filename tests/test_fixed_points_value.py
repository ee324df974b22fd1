"""The fixed points of AWR, CQL, psi-learning and ILQL per utterance on MovieReview, against the exact values."""

from functools import cache

import gymnasium as gym
import numpy as np
import pytest
import torch
from test_fixed_points import EACH_ONCE, FIT, LOG, TASK, VALUES, review_of
from transformers import GPT2LMHeadModel

from agents import (
    AWR,
    CQL,
    LM,
    AWRConfig,
    CQLConfig,
    Logged,
    Psi,
    PsiConfig,
    UtteranceILQL,
    UtteranceILQLConfig,
    collate,
)
from agents.cql import best
from agents.evaluation.tabular import group_expectile
from agents.models.reading import read
from agents.psi import soft_value
from agents.utterance_ilql import judge
from lang_envs import rollout
from lang_envs.tasks.movie_review import REVIEWS

FAST = VALUES | {"target_rate": 0.2, "cql_weight": 0.0, "bias_init": 0.0}
REWARD = {tokens: review.reward for tokens, review in zip(TASK.reviews, REVIEWS, strict=True)}
HISTORIES = [(row, i, (*TASK.opening, *said[:i])) for row, said in enumerate(TASK.reviews) for i in range(len(said))]


@pytest.fixture(scope="module")
def env():
    return gym.make_vec("MovieReview-v0", 1)


def trained(cls, config, env, steps, lr=5e-3):
    lm = LM.from_scratch("d64-l2", env)
    lm.model.config.n_layer = 1  # enough to tell "good" after "was" from "good" after "wasn't"
    torch.manual_seed(0)
    lm.model = GPT2LMHeadModel(lm.model.config)
    return cls(lm, config, seed=0).learn(Logged(LOG), steps, **FIT | {"lr": lr})


def values(agent, env, state_value):
    """Target Q [B, A, V], target Q of the token taken, V, and what is backed up [B, A]: of every review, once."""
    batch = collate(EACH_ONCE, env.pad_id, env.end_id)
    with torch.inference_mode():
        x = agent.model.values(batch, state_value)
        hidden = read(agent.model.trunks[-1], batch.input_ids)
        whole = batch.at(agent.model.target_q.smallest(hidden), batch.state)
    return whole.double().numpy(), *(batch.in_rows(found).double().numpy() for found in (x.target_q, x.v, x.backed_up))


def test_awr_near_one_teaches_the_language_model_the_wasnt_path(env):
    config = AWRConfig(**VALUES | {"bc_weight": 1.0}, tau=0.99, backup="token", awr_temperature=0.1, max_weight=2.0)
    agent = trained(AWR, config, env, steps=350, lr=3e-3)
    (episode,) = rollout(env, agent.policy(greedy=True), [0])
    assert agent.model.config.advantage_weight == 0
    assert env.tokenizer.decode(episode.tokens[2:-1]) == "the movie wasn't good it was superb"


def overestimates(agent, env):
    """By how much max_a Q exceeds the true optimum at every state of the log."""
    *_, maximum = values(agent, env, best)
    return np.array([maximum[row, i] - TASK.optimal_value(history, 0.95) for row, i, history in HISTORIES])


@pytest.fixture(scope="module")
def cql(env):
    return trained(CQL, CQLConfig(**FAST | {"cql_weight": 0.1}), env, steps=450)


def test_cql_bounds_the_optimum_from_below_where_plain_q_learning_overestimates(cql, env):
    free = trained(CQL, CQLConfig(**FAST | {"cql_weight": 0.0}), env, steps=80)
    assert overestimates(cql, env).max() < 0.05
    assert overestimates(free, env)[0] > 0.5
    assert review_of(cql, env) == "the movie wasn't good it was superb" != review_of(free, env)


def test_cql_satisfies_the_equation_of_its_file(cql, env):
    q, _, _, maximum = values(cql, env, best)
    bounds, unit = [], cql.model.config.value_unit
    for row, i, history in HISTORIES:
        said, behaviour = TASK.reviews[row], TASK.behaviour_policy(history)
        softmax = np.exp(q[row, i] / unit) / np.exp(q[row, i] / unit).sum()
        backup = REWARD[said] if i == len(said) - 1 else 0.95 * maximum[row, i + 1]
        bounds.append(unit * 0.1 / 2 * (softmax[said[i]] / behaviour[said[i]] - 1))
        assert q[row, i, said[i]] == pytest.approx(backup - bounds[-1], abs=0.1)
    assert max(bounds) > 0.05  # "superb" is rare, and pays for it


@cache
def soft_q(history, token, gamma, kl_weight):
    """Psi-learning's Q in the table, with the log's own policy as the prior."""
    said = (*history[len(TASK.opening) :], token)
    return REWARD[said] / kl_weight if said in REWARD else gamma * soft_v((*history, token), gamma, kl_weight)


def soft_v(history, gamma, kl_weight):
    prior = TASK.behaviour_policy(history)
    return np.log(sum(prior[a] * np.exp(soft_q(history, int(a), gamma, kl_weight)) for a in np.flatnonzero(prior)))


def test_psi_finds_the_soft_values_and_speaks_by_them(env):
    config = PsiConfig(**FAST, kl_weight=0.5)
    agent = trained(Psi, config, env, steps=250)
    _, q, v, backed_up = values(agent, env, soft_value)
    c = (config.gamma, config.kl_weight)
    for found, exact in (
        (q, [soft_q(history, TASK.reviews[row][i], *c) for row, i, history in HISTORIES]),
        (v, [soft_v(history, *c) for _, _, history in HISTORIES]),
        (backed_up, [soft_v(history, *c) for _, _, history in HISTORIES]),
    ):
        error = np.abs([found[row, i] - e for (row, i, _), e in zip(HISTORIES, exact, strict=True)])
        assert error.max() < 0.25 and error.mean() < 0.08
    ids = torch.tensor([[*TASK.opening, *TASK.reviews[0][:2]]])  # the movie ...
    with torch.inference_mode():
        spoken = agent.model(ids).logits[0, -1].softmax(-1).numpy()
    history = tuple(ids[0].tolist())
    expected = TASK.behaviour_policy(history)
    known = np.flatnonzero(expected)
    expected[known] *= np.exp([soft_q(history, int(a), *c) - soft_v(history, *c) for a in known])
    assert np.abs(spoken - expected).max() < 0.06 and np.abs(expected - TASK.behaviour_policy(history)).max() > 0.08


def test_ilql_per_utterance_knows_each_review_and_says_the_best_of_a_few(env):
    agent = trained(UtteranceILQL, UtteranceILQLConfig(tau=0.9, bc_weight=1.0, target_rate=0.2), env, steps=120)
    _, q, v = judge(agent.model.eval(), collate(EACH_ONCE, env.pad_id, env.end_id))
    assert q.tolist() == pytest.approx([review.reward for review in REVIEWS], abs=0.2)
    rewards = np.array([episode.ret for episode in LOG])
    assert v.tolist() == pytest.approx([group_expectile(rewards, np.zeros(len(LOG), int), 0.9)[0]] * 8, abs=0.1)
    one, many = (np.mean([e.ret for e in rollout(env, agent.policy(candidates=k), range(60))]) for k in (1, 12))
    assert many > max(0.4, one + 0.3)
