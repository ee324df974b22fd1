"""ArCHer's loss and its gradient, against a plain loop over episodes, utterances and tokens."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from toy_agent import END, make_env, make_episodes, make_lm

from agents import ArCHer, ArCHerConfig, Live, Logged, Mixed, collate

CONFIG = ArCHerConfig(zero_init=False, value_unit=2.5, bias_init=-0.5, tau=0.8, gamma=0.9, actor_weight=0.7)


def begun(**settings: Any) -> ArCHer:
    """With targets that differ from what they follow."""
    agent = ArCHer(make_lm(), dataclasses.replace(CONFIG, trunk_gradient=1.0, **settings))
    with torch.no_grad():
        for parameter in agent.model.target_q.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    return agent


def plain_loss(agent: ArCHer, episodes: Any) -> torch.Tensor:
    """The equations of the file, one episode at a time."""
    c, model, total, tokens = agent.config, agent.model, torch.zeros(()), 0
    for episode in episodes:
        ids = torch.tensor(episode.tokens[None].astype(np.int64))
        hidden = model.lm.base_model(ids).last_hidden_state[0]  # [T, d]
        logp = model.lm(ids).logits[0].log_softmax(-1)  # [T, V]
        v = model.v(hidden)[0][:, 0]  # [T]
        said = [int(at) for at in np.flatnonzero(episode.is_action)]
        ends = [at for at in said if episode.tokens[at] == END or at == said[-1]]
        starts = [said[0], *(next(a for a in said if a > end) for end in ends[:-1])]
        tokens += len(said)
        for k, (start, end) in enumerate(zip(starts, ends, strict=True)):
            last = end == said[-1]
            after = len(episode.tokens) - 1 if last else starts[k + 1] - 1
            goes_on = not (last and episode.terminated)
            reward = float(episode.rewards[start : end + 1].sum())
            y = (reward + c.gamma * goes_on * v[after]).detach()
            q_bar = min(head[end, 0].detach() for head in model.target_q(hidden))
            a = q_bar - v[start - 1]
            total = total + abs(c.tau - float(a < 0)) * (a / 2.5) ** 2
            total = total + sum(((y - head[end, 0]) / 2.5) ** 2 for head in model.q(hidden))
            for at in range(start, end + 1):
                if c.actor == "awr":
                    w = min(float(torch.exp(a.detach() / c.awr_temperature)), c.max_weight)
                else:
                    w = (q_bar - v[at - 1]).item()
                    if at > start:
                        total = total + 0.5 * ((q_bar - v[at - 1]) / 2.5) ** 2
                total = total - c.actor_weight * w * logp[at - 1, int(episode.tokens[at])]
    return total / tokens


def gradient(agent: ArCHer, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    agent.model.zero_grad()
    loss.backward()
    return {name: p.grad.clone() for name, p in agent.model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize(
    "settings",
    [
        {"awr_temperature": 0.5, "max_weight": 100.0},
        {"awr_temperature": 2.0, "max_weight": 0.7},
        {"actor": "policy_gradient"},
    ],
    ids=["awr", "clipped", "policy gradient"],
)
def test_archer_is_its_equations(settings: dict[str, Any]) -> None:
    agent, episodes = begun(**settings), make_episodes(6)
    loss, parts = agent.loss(collate(episodes, agent.lm.pad_id, agent.lm.end_id))
    expected = plain_loss(agent, episodes)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    if settings.get("max_weight") == 0.7:
        assert 0 < parts["policy/clipped"] < 1 and parts["policy/weight"] < 0.7
    found, due = gradient(agent, loss), gradient(agent, expected)
    assert found.keys() == due.keys()
    for name in due:
        torch.testing.assert_close(found[name], due[name], rtol=1e-3, atol=1e-5)


def test_the_policy_gradient_is_of_live_episodes_alone() -> None:
    log, live = Logged(make_episodes(4)), Live(make_env())
    for source in (log, Mixed(log, live)):
        with pytest.raises(ValueError, match="episodes that the policy itself has played"):
            begun(actor="policy_gradient").learn(source, 1)
    assert begun(actor="policy_gradient").learn(live, 2, batch_size=4, progress=False).step == 2


@pytest.mark.parametrize("settings", [{"actor": "best"}, {"awr_temperature": 0.0}, {"actor_weight": -1.0}])
def test_settings_that_cannot_be_meant_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        ArCHerConfig(**settings)
