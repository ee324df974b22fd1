"""Tests that the loss is that of its equations, and that training finds the known values."""

import gymnasium as gym
import pytest
import torch
from my_agent import MyAgent, MyAgentConfig

from agents import LM, Agent, Logged, collate
from lang_envs import rollout
from lang_envs.policies.movie_review import Reviewer
from lang_envs.seeds import RECORDING


@pytest.fixture(scope="module")
def env():
    return gym.make_vec("MovieReview-v0", num_envs=64)


@pytest.fixture(scope="module")
def logs(env):
    return list(rollout(env, Reviewer(env.task), RECORDING.episodes(500)))


def test_the_loss_is_that_of_the_equations(env, logs):
    agent = MyAgent(LM.from_scratch("d64-l2", env), MyAgentConfig(num_q=1, zero_init=False, value_unit=1.0))
    (episode,) = logs[:1]
    batch = collate([episode], env.pad_id, env.end_id)
    x, loss = agent.model.values(batch), agent.loss(batch)[0]
    rewards = episode.rewards[episode.is_action]
    n, expected = len(rewards), 0.0
    for i in range(n):
        y = rewards[i] + (0.99 * x.v[i + 1] if i + 1 < n else 0)
        expected += ((y - x.q[0][i]) ** 2 + (x.target_q[i] - x.v[i]) ** 2 + x.nll[i]) / n
    torch.testing.assert_close(loss, expected)


def test_it_finds_the_values_of_whoever_wrote_the_log(env, logs, tmp_path):
    agent = MyAgent(LM.from_scratch("d64-l2", env)).learn(Logged(logs), 120, lr=3e-3, batch_size=64)
    batch = collate(logs[:200], env.pad_id, env.end_id)
    found = iter(agent.model.values(batch).target_q.tolist())
    errors = []
    for episode in logs[:200]:
        for at in episode.is_action.nonzero()[0]:
            exact = env.task.behaviour_q(episode.tokens[:at], 0.99)[episode.tokens[at]]
            errors.append(abs(next(found) - exact))
    assert sum(errors) / len(errors) < 0.1
    assert type(Agent.load(agent.save(tmp_path / "agent"))) is MyAgent
