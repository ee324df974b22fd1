"""Each loss against a plain numpy loop over hand-written numbers."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from value_tables import values_of

from agents.bc import BC, BCConfig
from agents.data.batch import collate
from agents.ilql import ILQL, ILQLConfig
from agents.monte_carlo import MonteCarlo, MonteCarloConfig
from agents.sarsa import SARSA, SARSAConfig
from lang_envs import Episode

VOCAB, PAD, END = 5, 0, 1

# Two turns with a reply between them, ended by the task; and one turn that was cut before its end token.
ENDED = Episode(
    tokens=np.array([2, 3, END, 4, 4, END], np.int32),
    is_action=np.array([0, 1, 1, 0, 1, 1], bool),
    rewards=np.array([0, 0, -1, 0, 0.5, 2], np.float32),
    terminated=True,
)
CUT = Episode(
    tokens=np.array([2, 4, 3], np.int32),
    is_action=np.array([0, 1, 1], bool),
    rewards=np.array([0, 0, -3], np.float32),
    terminated=False,
    truncated=True,
)


@pytest.fixture
def batch():
    return collate([ENDED, CUT], pad_id=PAD, end_id=END)


@pytest.fixture
def values():
    """Hand-seeded numbers, whole tables of them."""
    rng = np.random.default_rng(0)

    def draw(*shape):
        return torch.tensor(rng.normal(size=shape), dtype=torch.float32)

    return SimpleNamespace(
        q=[draw(2, 4, VOCAB), draw(2, 4, VOCAB)],
        target_q=draw(2, 4),
        v=draw(2, 4),
        v_next=draw(2, 4),
        logits=draw(2, 4, VOCAB),
        unit=2.5,
    )


def agent(cls, config, values, step=0):
    """An agent whose model answers with the given values."""
    made = object.__new__(cls)
    made.config, made.step = config, step
    made.model = SimpleNamespace(values=lambda batch: values_of(batch, **vars(values)))
    return made


# (row, action index, token, reward, gamma to the next state, episode goes on)
def transitions(gamma, per):
    inside, across = gamma, gamma
    if per == "turn":
        inside = 1.0
    yield 0, 0, 3, 0.0, inside, 1
    yield 0, 1, END, -1.0, across, 1
    yield 0, 2, 4, 0.5, inside, 1
    yield 0, 3, END, 2.0, across, 0
    yield 1, 0, 4, 0.0, inside, 1
    yield 1, 1, 3, -3.0, across, 1


def log_softmax(x):
    return x - math.log(sum(math.exp(v) for v in x))


def numpy_loss(x, c, tau, targets=None):
    """The equations of value_learning.py, one transition at a time."""
    total, n = 0.0, 6
    for row, i, token, reward, gamma, goes_on in transitions(c.gamma, c.discount_per):
        y = reward + gamma * goes_on * x.v_next[row, i].item()
        q = x.target_q[row, i].item()
        if targets is not None:
            y = q = targets[row, i]
        u = q - x.v[row, i].item()
        total += abs(tau - (u < 0)) * (u / x.unit) ** 2 / n
        for head in x.q:
            total += ((head[row, i, token].item() - y) / x.unit) ** 2 / n
            total += c.cql_weight * -log_softmax(head[row, i].numpy() / x.unit)[token] / n
        total += c.bc_weight * -log_softmax(x.logits[row, i].numpy())[token] / n
    return total


def numpy_returns(c):
    rows = list(transitions(c.gamma, c.discount_per))
    returns = np.zeros((2, 4))
    for row, i, _, reward, gamma, _ in reversed(rows):
        later = returns[row, i + 1] if i + 1 < 4 and (row, i) not in {(0, 3), (1, 1)} else 0.0
        returns[row, i] = reward + gamma * later
    return returns


@pytest.mark.parametrize("per", ["token", "turn"])
@pytest.mark.parametrize("tau", [0.3, 0.7, 0.95])
def test_ilql_is_its_equations(batch, values, per, tau):
    config = ILQLConfig(tau=tau, gamma=0.9, discount_per=per, cql_weight=0.3, bc_weight=0.7, backup="token")
    loss, _ = agent(ILQL, config, values).loss(batch)
    assert loss.item() == pytest.approx(numpy_loss(values, config, tau), rel=1e-5)


@pytest.mark.parametrize("per", ["token", "turn"])
def test_sarsa_is_its_equations(batch, values, per):
    config = SARSAConfig(gamma=0.9, discount_per=per, cql_weight=0.3, bc_weight=0.7, backup="token")
    loss, _ = agent(SARSA, config, values).loss(batch)
    assert loss.item() == pytest.approx(numpy_loss(values, config, 0.5), rel=1e-5)


@pytest.mark.parametrize("per", ["token", "turn"])
def test_monte_carlo_is_its_equations(batch, values, per):
    config = MonteCarloConfig(gamma=0.9, discount_per=per, cql_weight=0.3, bc_weight=0.7)
    loss, _ = agent(MonteCarlo, config, values).loss(batch)
    assert loss.item() == pytest.approx(numpy_loss(values, config, 0.5, numpy_returns(config)), rel=1e-5)


@pytest.mark.parametrize(("cls", "config"), [(ILQL, ILQLConfig), (SARSA, SARSAConfig)])
def test_a_monte_carlo_start_is_monte_carlo_and_then_over(batch, values, cls, config):
    c = config(gamma=0.9, monte_carlo_steps=3, backup="token")
    during, _ = agent(cls, c, values, step=2).loss(batch)
    after, _ = agent(cls, c, values, step=3).loss(batch)
    assert during.item() == pytest.approx(numpy_loss(values, c, 0.5, numpy_returns(c)), rel=1e-5)
    assert after.item() == pytest.approx(numpy_loss(values, c, getattr(c, "tau", 0.5)), rel=1e-5)


def test_bc_is_the_mean_likelihood_of_the_agents_tokens(batch):
    hidden = torch.randn(2, 6, 8, generator=torch.Generator().manual_seed(0))
    head = torch.nn.Linear(8, VOCAB, bias=False)
    made = agent(BC, BCConfig(), None)

    def trunk(inputs_embeds, use_cache):
        return SimpleNamespace(last_hidden_state=inputs_embeds)

    trunk.get_input_embeddings = lambda: lambda ids: hidden
    made.model = SimpleNamespace(base_model=trunk, get_output_embeddings=lambda: head)
    loss, _ = made.loss(batch)
    logits = head(hidden).detach().numpy()
    state_and_token = [(0, 0, 3), (0, 1, END), (0, 3, 4), (0, 4, END), (1, 0, 4), (1, 1, 3)]
    expected = np.mean([-log_softmax(logits[row, at])[token] for row, at, token in state_and_token])
    assert loss.item() == pytest.approx(expected, rel=1e-5)
