"""OREO's loss and its gradient, against a plain loop over episodes and tokens; what it saves and refuses."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from toy_agent import END, make_episodes, make_lm, same_weights

from agents import OREO, Agent, ILQLConfig, Logged, OREOConfig, collate
from agents.decoding.candidate_scores import QValue, StateValue
from agents.evaluation.explain import explain, next_tokens

CONFIG = OREOConfig(zero_init=False, value_unit=2.5, bias_init=-0.5, beta=0.4, kl_coef=0.3, trunk_gradient=1.0)


def begun(**settings: Any) -> OREO:
    """One that has left its start."""
    agent = OREO(make_lm(), dataclasses.replace(CONFIG, **settings))
    agent.prepare(Logged(make_episodes(6)))
    with torch.no_grad():
        for parameter in agent.model.lm.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    return agent


def first_of_each(episode: Any, said: list[int], per: str) -> list[int]:
    """Where the errors begin, as places in ``said``."""
    ends = [i for i, at in enumerate(said) if episode.tokens[at] == END]
    return {
        "token": list(range(len(said))),
        "turn": [0, *(i + 1 for i in ends if i + 1 < len(said))],
        "episode": [0],
    }[per]


def plain_loss(agent: OREO, episodes: Any) -> torch.Tensor:
    """The equations of the file, one token at a time."""
    c, model, total, tokens = agent.config, agent.model, torch.zeros(()), 0
    assert agent.reference is not None
    for episode in episodes:
        ids = torch.tensor(episode.tokens[None].astype(np.int64))
        v = model.v(model.trunks[-1](ids).last_hidden_state[0])[0][:, 0]  # [T]
        logp, logp0 = (m(ids).logits[0].log_softmax(-1) for m in (model.lm, agent.reference))  # [T, V] each
        said = [int(at) for at in np.flatnonzero(episode.is_action)]
        gains = [(logp - logp0.detach())[at - 1, int(episode.tokens[at])] for at in said]
        begins = first_of_each(episode, said, c.per)
        for i, stop in zip(begins, [*begins[1:], len(said)], strict=True):
            g = sum(float(episode.rewards[at]) for at in said[i:])
            own, later = sum(gains[i:stop]), sum(gain.item() for gain in gains[stop:])
            state = v[said[i] - 1]
            total = total + ((state - g + c.beta * (own.item() + later)) / 2.5) ** 2
            total = total + ((state.item() - g + c.beta * (own + later)) / 2.5) ** 2 * 2.5 / (2 * c.beta)
        for at in said:
            total = total + c.kl_coef * (logp[at - 1].exp() * (logp[at - 1] - logp0[at - 1].detach())).sum()
        tokens += len(said)
    return total / tokens


def gradient(agent: OREO, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    agent.model.zero_grad()
    loss.backward()
    return {name: p.grad.clone() for name, p in agent.model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize(("trunks", "kl_coef"), [("shared", 0.0), ("shared", 0.3), ("separate", 0.3)])
@pytest.mark.parametrize("per", ["token", "turn", "episode"])
def test_oreo_is_its_equations(per: Any, trunks: Any, kl_coef: float) -> None:
    agent, episodes = begun(per=per, trunks=trunks, kl_coef=kl_coef), make_episodes(6)
    batch = collate(episodes, agent.lm.pad_id, agent.lm.end_id)
    assert not batch.discount.all() and batch.discount.any()  # some ended and some were cut
    loss, parts = agent.loss(batch)
    expected = plain_loss(agent, episodes)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert ("loss/kl" in parts) == (kl_coef > 0)
    found, due = gradient(agent, loss), gradient(agent, expected)
    assert found.keys() == due.keys()
    for name in due:
        torch.testing.assert_close(found[name], due[name], rtol=1e-3, atol=1e-5)


def test_the_divergence_of_many_states_is_that_of_each(monkeypatch: pytest.MonkeyPatch) -> None:
    agent = begun()
    batch = collate(make_episodes(6), agent.lm.pad_id, agent.lm.end_id)
    whole, _ = agent.loss(batch)
    due = gradient(agent, whole)
    monkeypatch.setattr("agents.models.token_scores.part_of", lambda device, rows: 3)
    parted, _ = agent.loss(batch)
    torch.testing.assert_close(whole, parted)
    for name, found in gradient(agent, parted).items():
        torch.testing.assert_close(found, due[name])


@pytest.mark.parametrize("trunks", ["shared", "separate"])
def test_what_is_saved_has_the_start_and_the_values_too(trunks: Any, tmp_path: Path) -> None:
    agent = OREO(make_lm(), OREOConfig(trunks=trunks)).learn(Logged(make_episodes(8)), 3, lr=1e-2, batch_size=4)
    assert agent.reference is not None and same_weights(agent.reference.state_dict(), make_lm().model.state_dict())
    loaded = Agent.load(agent.save(tmp_path / "agent"))
    assert same_weights(loaded.model.state_dict(), agent.model.state_dict())
    assert loaded.reference is not None
    assert same_weights(loaded.reference.state_dict(), agent.reference.state_dict())
    assert not {name for name in agent.model.state_dict() if name.split(".")[0] in ("q", "target_q", "target_trunk")}


def test_it_has_values_of_states_and_of_nothing_else() -> None:
    agent, episode = begun(), make_episodes(1)[0]
    explained = explain(agent.model, agent.lm.tokenizer, episode)
    acted = np.flatnonzero(episode.is_action)
    assert np.isnan(explained.q).all() and np.flatnonzero(~np.isnan(explained.v)).tolist() == acted.tolist()
    hidden = agent.model.trunks[-1](torch.tensor(episode.tokens[None].astype(np.int64))).last_hidden_state[0]
    assert explained.v[acted] == pytest.approx(agent.model.v(hidden)[0][acted - 1, 0].tolist(), abs=1e-5)
    with pytest.raises(TypeError, match="no values of the next token"):
        next_tokens(agent.model, agent.lm.tokenizer, episode.tokens, 2)
    with pytest.raises(ValueError, match="rank by StateValue"):
        QValue(agent)
    assert len(StateValue(agent)([episode.tokens[:1]], [episode.tokens[1:3]])) == 1
    with pytest.raises(ValueError, match="set advantage_weight to 0"):
        agent.policy(advantage_weight=2.0).act([episode.tokens[:1]], [np.random.default_rng(0)])


def test_settings_that_cannot_be_meant_are_refused() -> None:
    for wrong in ({"beta": 0.0}, {"kl_coef": -1.0}, {"per": "word"}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            OREOConfig(**wrong)
    with pytest.raises(TypeError, match="configured by OREOConfig, not ILQLConfig"):
        OREO(make_lm(), ILQLConfig())
