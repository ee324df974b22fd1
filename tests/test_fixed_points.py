"""The fixed point of each agent on MovieReview, against the exact values: seconds of training, no sampling noise.

The log holds every review exactly in proportion to its share, and every step reads the whole log.
"""

import gymnasium as gym
import numpy as np
import pytest
import torch

from agents import BC, ILQL, LM, SARSA, BCConfig, ILQLConfig, Logged, MonteCarlo, MonteCarloConfig, SARSAConfig, collate
from agents.evaluation.tabular import tabular_values
from lang_envs import Episode, Episodes, rollout
from lang_envs.tasks.movie_review import REVIEWS, MovieReview

TASK = MovieReview()
VALUES = {"gamma": 0.95, "cql_weight": 1e-3, "bc_weight": 0.3, "target_rate": 0.1, "num_q": 1, "zero_init": True}
FIT = {"lr": 3e-3, "batch_size": 50, "warmup_steps": 10, "progress": False}


def written(tokens, reward):
    opening = len(TASK.opening)
    is_action = np.arange(opening + len(tokens)) >= opening
    rewards = np.zeros(len(is_action), np.float32)
    rewards[-1] = reward
    return Episode(np.array([*TASK.opening, *tokens], np.int32), is_action, rewards, terminated=True)


EACH_ONCE = [written(tokens, review.reward) for tokens, review in zip(TASK.reviews, REVIEWS, strict=True)]
LOG = [e for e, review in zip(EACH_ONCE, REVIEWS, strict=True) for _ in range(round(50 * review.share))]


@pytest.fixture(scope="module")
def env():
    return gym.make_vec("MovieReview-v0", 1)


def trained(cls, config, env, steps=400, **fit):
    return cls(LM.from_scratch("d64-l2", env, seed=0), config, seed=0).learn(Logged(LOG), steps, **{**FIT, **fit})


def errors(agent, env, exact):
    """Target Q of every token of every review beside its exact value: absolute differences, and each review's share."""
    batch = collate(EACH_ONCE, env.pad_id, env.end_id)
    agent.model.eval()
    with torch.inference_mode():
        q = batch.in_rows(agent.model.values(batch).target_q).numpy()  # [B, A]
    for row, (episode, review) in enumerate(zip(EACH_ONCE, REVIEWS, strict=True)):
        for i, at in enumerate(np.flatnonzero(episode.is_action)):
            yield abs(q[row, i] - exact(episode.tokens[:at], agent.config.gamma)[episode.tokens[at]]), review.share


def worst_and_mean(found):
    error, share = np.array(list(found)).T
    return error.max(), np.average(error, weights=share)


def review_of(agent, env):
    (episode,) = rollout(
        env, agent.policy(greedy=True, **({"advantage_weight": 20.0} if agent.needs_values else {})), [0]
    )
    return env.tokenizer.decode(episode.tokens[episode.is_action][:-1])


@pytest.mark.parametrize(
    ("cls", "config"), [(SARSA, SARSAConfig(**VALUES)), (MonteCarlo, MonteCarloConfig(**VALUES))], ids=["sarsa", "mc"]
)
def test_sarsa_and_monte_carlo_find_the_behaviours_values_and_choose_was(cls, config, env):
    agent = trained(cls, config, env)
    worst, mean = worst_and_mean(errors(agent, env, TASK.behaviour_q))
    assert worst < 0.15
    assert mean < 0.03
    assert review_of(agent, env) == "the movie was great"


def test_ilql_near_one_finds_the_optimum_and_takes_the_wasnt_path(env):
    config = ILQLConfig(tau=0.99, backup="token", **VALUES)
    agent = trained(ILQL, config, env, steps=600, lr=1e-3)
    worst, mean = worst_and_mean(errors(agent, env, TASK.optimal_q))
    assert worst < 0.15
    assert mean < 0.08
    assert review_of(agent, env) == "the movie wasn't good it was superb"


def test_ilql_that_looks_to_the_end_of_the_utterance_finds_its_table_and_takes_the_wasnt_path(env):
    log = Episodes.from_list(LOG)
    values = {**VALUES, "gamma": 0.99}
    q, _ = tabular_values(log, 0.99, values["gamma"], "implicit", env.end_id)
    starts = log.offsets.searchsorted(np.arange(len(q)), side="right") - 1
    table = {(log.tokens[log.offsets[b] : i].tobytes(), log.tokens[i]): q[i] for i, b in enumerate(starts)}
    agent = trained(ILQL, ILQLConfig(tau=0.99, **values), env, steps=600, lr=1e-3)
    exact = errors(agent, env, lambda history, gamma: {t: table[h, t] for h, t in table if h == history.tobytes()})
    worst, mean = worst_and_mean(exact)
    assert worst < 0.15
    assert mean < 0.08
    assert review_of(agent, env) == "the movie wasn't good it was superb"


def test_bc_writes_as_the_log_does_and_filtered_bc_as_its_best(env):
    agent = trained(BC, BCConfig(), env, steps=200)
    policy = agent.policy()
    texts = [env.tokenizer.decode(e.tokens[2:-1]) for e in rollout(env, policy, range(400))]
    for review in REVIEWS:
        assert texts.count(review.text) / 400 == pytest.approx(review.share, abs=0.09)
    best = trained(BC, BCConfig(keep_top=0.02), env, steps=60)
    assert review_of(best, env) == "the movie wasn't good it was superb"


@pytest.mark.parametrize(("tau", "exact"), [(0.5, TASK.behaviour_q), (1 - 1e-9, TASK.optimal_q)])
def test_the_table_of_a_whole_log_is_exact(tau, exact):
    log = Episodes.from_list(LOG)
    q, _ = tabular_values(log, tau, gamma=0.95)
    for b in range(len(log)):
        start, end = log.offsets[b : b + 2]
        tokens = log.tokens[start:end]
        for at in np.flatnonzero(log.is_action[start:end]):
            assert q[start + at] == pytest.approx(exact(tokens[:at], 0.95)[tokens[at]], abs=1e-6)
