"""The losses of AWR, CQL, psi-learning and ILQL per utterance, each against a plain numpy loop."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from value_tables import values_of

from agents.awr import AWR, AWRConfig
from agents.cql import CQL, CQLConfig, best
from agents.data.batch import collate
from agents.models.value_lm import ValueLM
from agents.psi import Psi, PsiConfig, soft_value
from agents.utterance_ilql import UtteranceILQL, UtteranceILQLConfig, utterances
from lang_envs import Episode

VOCAB, PAD, END = 5, 0, 1

# Two turns with a reply between them, ended by the task; and one turn that was cut before its end token.
ENDED = Episode(
    tokens=np.array([2, 3, END, 4, 4, END], np.int32),
    is_action=np.array([0, 1, 1, 0, 1, 1], bool),
    rewards=np.array([0, 0.25, -1, 0, 0.5, 2], np.float32),
    terminated=True,
)
CUT = Episode(
    tokens=np.array([2, 4, 3], np.int32),
    is_action=np.array([0, 1, 1], bool),
    rewards=np.array([0, 0, -3], np.float32),
    terminated=False,
    truncated=True,
)
N = 6  # actions
# (row, action, token, reward, the last of its utterance, episode goes on)
STEPS = [
    (0, 0, 3, 0.25, False, 1),
    (0, 1, END, -1.0, True, 1),
    (0, 2, 4, 0.5, False, 1),
    (0, 3, END, 2.0, True, 0),
    (1, 0, 4, 0.0, False, 1),
    (1, 1, 3, -3.0, True, 1),
]


def log_softmax(x):
    return x - math.log(sum(math.exp(v) for v in x))


class Model:
    """Numbers drawn from a seed in the places a model would fill; ``values`` backs up what ``ValueLM.values`` does."""

    def __init__(self, unit=2.5):
        self.unit, rng = unit, np.random.default_rng(0)

        def draw(*shape):
            return torch.tensor(rng.normal(size=shape), dtype=torch.float32)

        self.q, self.v, self.v_next = [draw(2, 4, VOCAB), draw(2, 4, VOCAB)], draw(2, 4), draw(2, 4)
        self.q_bar, self.logits = draw(2, 5, VOCAB), draw(2, 5, VOCAB)  # at the states 0 .. 4, the last ones final
        self.next = torch.tensor([[1, 2, 3, 4], [1, 2, 0, 0]])  # what comes after each action, among those states

    def values(self, batch, state_value=None):
        target_q = self.q_bar[:, :4].gather(-1, batch.action[..., None]).squeeze(-1)
        x = {"v_next": self.v_next, "backed_up": None}
        if state_value is not None:
            of_state = state_value(self.q_bar.flatten(0, 1), self.logits.flatten(0, 1)).view(2, 5)
            x = {"v_next": of_state.gather(1, self.next), "backed_up": of_state[:, :4]}
        return values_of(batch, self.q, target_q, v=self.v, logits=self.logits[:, :4], unit=self.unit, **x)


@pytest.fixture
def batch():
    return collate([ENDED, CUT], pad_id=PAD, end_id=END)


def agent(cls, config, model):
    made = object.__new__(cls)
    made.config, made.step, made.model = config, 0, model
    return made


def gamma_of(c, last):
    return c.gamma if c.discount_per == "token" or last else 1.0


PER = pytest.mark.parametrize("per", ["token", "turn"])


@PER
@pytest.mark.parametrize(("temperature", "most"), [(0.5, 100.0), (2.0, 1.1)])
def test_awr_is_its_equations(batch, per, temperature, most):
    c = AWRConfig(
        tau=0.8,
        gamma=0.9,
        discount_per=per,
        backup="token",
        cql_weight=0.3,
        bc_weight=0.7,
        awr_temperature=temperature,
        max_weight=most,
    )
    m = Model()
    expected, weights = 0.0, []
    for row, i, token, reward, last, goes_on in STEPS:
        y = reward + gamma_of(c, last) * goes_on * m.v_next[row, i].item()
        u = m.q_bar[row, i, token].item() - m.v[row, i].item()
        expected += abs(c.tau - (u < 0)) * (u / m.unit) ** 2 / N
        weights.append(min(math.exp(u / temperature), most))
        expected += c.bc_weight * weights[-1] * -log_softmax(m.logits[row, i].numpy())[token] / N
        for head in m.q:
            expected += ((head[row, i, token].item() - y) / m.unit) ** 2 / N
            expected += c.cql_weight * -log_softmax(head[row, i].numpy() / m.unit)[token] / N
    m.v.requires_grad_(True)
    m.logits.requires_grad_(True)
    loss, parts = agent(AWR, c, m).loss(batch)
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    assert parts["policy/weight"].item() == pytest.approx(np.mean(weights), rel=1e-5)
    assert parts["policy/clipped"].item() == pytest.approx(np.mean([w == most for w in weights]))
    assert (most == 1.1) == (parts["policy/clipped"] > 0)
    (by_value,) = torch.autograd.grad(loss, m.v)
    u = (m.q_bar[:, :4].gather(-1, batch.action[..., None]).squeeze(-1) - m.v).detach()
    by_expectile = -2 * (c.tau - (u < 0).float()).abs() * u / m.unit**2 * batch.mask / N
    torch.testing.assert_close(by_value, by_expectile)  # nothing from the weights


@PER
def test_cql_is_its_equations(batch, per):
    c, m = CQLConfig(gamma=0.9, discount_per=per, cql_weight=0.3, bc_weight=0.7), Model()
    expected = 0.0
    for row, i, token, reward, last, goes_on in STEPS:
        y = reward + gamma_of(c, last) * goes_on * max(m.q_bar[row, m.next[row, i]].tolist())
        expected += 0.5 * ((m.q_bar[row, i, token].item() - m.v[row, i].item()) / m.unit) ** 2 / N
        expected += c.bc_weight * -log_softmax(m.logits[row, i].numpy())[token] / N
        for head in m.q:
            expected += ((head[row, i, token].item() - y) / m.unit) ** 2 / N
            expected += c.cql_weight * -log_softmax(head[row, i].numpy() / m.unit)[token] / N
    loss, _ = agent(CQL, c, m).loss(batch)
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def huber(x):
    return x**2 / 2 if abs(x) < 1 else abs(x) - 0.5


@PER
def test_psi_is_its_equations_as_the_paper_writes_them(batch, per):
    """With Psi and log p written out: that log p cancels is the file's claim."""
    c = PsiConfig(gamma=0.9, discount_per=per, kl_weight=0.4, bc_weight=0.7, cql_weight=0.0)
    m = Model(unit=1.0)
    logp = np.array([[log_softmax(state.numpy()) for state in row] for row in m.logits])  # [2, 5, V]
    psi_bar = logp + m.q_bar.numpy()
    soft = np.log(np.exp(psi_bar).sum(-1))  # [2, 5]
    expected, errors = 0.0, []
    for row, i, token, reward, last, goes_on in STEPS:
        y = reward / c.kl_weight + logp[row, i, token] + gamma_of(c, last) * goes_on * soft[row, m.next[row, i]]
        expected += 0.5 * (soft[row, i] - m.v[row, i].item()) ** 2 / N
        expected += c.bc_weight * -logp[row, i, token] / N
        for head in m.q:
            errors.append(y - (logp[row, i, token] + head[row, i, token].item()))
            expected += huber(errors[-1]) / N
    assert min(map(abs, errors)) < 1 < max(map(abs, errors))  # both sides of Huber's corner
    m.logits.requires_grad_(True)
    loss, parts = agent(Psi, c, m).loss(batch)
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    assert parts["loss/q"].item() == pytest.approx(sum(map(huber, errors)) / N, rel=1e-5)


def test_what_is_backed_up():
    q, logits = torch.tensor([[1.0, 2.0, -1.0]]), torch.log(torch.tensor([[0.5, 0.25, 0.25]])) + 7.0
    assert best(q, logits).tolist() == [2.0]
    assert soft_value(q, logits).item() == pytest.approx(math.log(0.5 * math.e + 0.25 * math.e**2 + 0.25 / math.e))


def test_the_utterances_of_a_batch(batch):
    u = utterances(batch)
    assert batch.input_ids.shape == (2, 6)
    assert u.start.tolist() == [0, 3, 6] and u.end.tolist() == [2, 5, 8] and u.next.tolist() == [3, 5, 8]
    assert u.reward.tolist() == [-0.75, 2.5, -3.0]
    assert u.discount.tolist() == [1, 0, 1] and u.tokens.tolist() == [2, 2, 2]
    assert u.of_token.tolist() == [0, 0, 1, 1, 2, 2]


def test_ilql_per_utterance_is_its_equations(batch):
    c = UtteranceILQLConfig(tau=0.8, gamma=0.9, bc_weight=0.7)
    rng = torch.Generator().manual_seed(0)
    hidden = torch.randn(2, 6, 8, generator=rng)
    w_v, w_target, *w_q = (torch.randn(8, generator=rng) for _ in range(4))
    lm = torch.nn.Linear(8, VOCAB, bias=False)
    model = SimpleNamespace(
        states=lambda batch: (hidden.flatten(0, 1),) * 3,
        for_values=lambda states: states,
        said=lambda batch, policy: ValueLM.said(model, batch, policy),
        v=lambda x: [x @ w_v[:, None]],
        q=lambda x: [x @ w[:, None] for w in w_q],
        target_q=SimpleNamespace(smallest=lambda x: x @ w_target[:, None]),
        get_output_embeddings=lambda: lm,
        config=SimpleNamespace(value_unit=2.5),
    )
    expected = 0.0
    for row, start, end, after, reward, goes_on in [
        (0, 0, 2, 3, -0.75, 1),
        (0, 3, 5, 5, 2.5, 0),
        (1, 0, 2, 2, -3.0, 1),
    ]:
        v, v_next = (hidden[row, at] @ w_v for at in (start, after))
        u = hidden[row, end] @ w_target - v
        expected += abs(c.tau - (u < 0).float()) * (u / 2.5) ** 2 / N
        for w in w_q:
            expected += ((reward + c.gamma * goes_on * v_next - hidden[row, end] @ w) / 2.5) ** 2 / N
    for row, at, token in [(0, 0, 3), (0, 1, END), (0, 3, 4), (0, 4, END), (1, 0, 4), (1, 1, 3)]:
        expected += c.bc_weight * -log_softmax(lm(hidden[row, at]).detach().numpy())[token] / N
    loss, _ = agent(UtteranceILQL, c, model).loss(batch)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
