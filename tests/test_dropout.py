"""Dropout in training: none where an algorithm compares two passes of the model, and a setting for all."""

from pathlib import Path
from typing import Any

import pytest
import torch
from test_layouts import random_model
from toy_agent import TOKENIZER, make_agent, make_env, make_episodes, make_lm, needs_sb3, same_weights, weights
from transformers import PreTrainedModel

from agents import AGENTS, LM, PPO, Agent, FitConfig, Live, Logged, LoRAConfig, PPOConfig, fit
from agents.models.lora import add_adapters
from agents.training.dropout import without_dropout

DRAWS = ("bc", "monte_carlo", "decision_transformer")


def row_of(agent: Agent, source: Any, **settings: Any) -> dict[str, float]:
    """The metrics of one step that changes nothing."""
    [row] = fit(agent, source, 1, FitConfig(lr=0.0, batch_size=8, **settings))
    return row


def chances(model: torch.nn.Module) -> list[Any]:
    """What a model says twice in training mode."""
    model.train()
    ids = torch.arange(8)[None]
    with torch.no_grad():
        return [model(ids).logits for _ in range(2)]


def llama() -> PreTrainedModel:
    """Dropout of attention as a plain number, and adapters with dropout as modules."""
    model: PreTrainedModel = random_model("llama", attention_dropout=0.3)
    add_adapters(model, LoRAConfig(rank=2, dropout=0.3))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.fill_(0.1)
    return model


@pytest.mark.parametrize("make", [lambda: make_lm(dropout=0.3).model, llama, lambda: random_model("opt", dropout=0.3)])
def test_nothing_drops_out_inside_the_block(make: Any) -> None:
    model = make()
    first, second = chances(model)
    assert not torch.equal(first, second)
    with without_dropout(model):
        first, second = chances(model)
        assert torch.equal(first, second)
        torch.testing.assert_close(first, model.eval()(torch.arange(8)[None]).logits)
    first, second = chances(model)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("algorithm", list(AGENTS))
def test_only_what_compares_no_two_passes_draws_dropout(algorithm: str) -> None:
    assert AGENTS[algorithm].dropout == (algorithm in DRAWS)


@pytest.mark.parametrize("algorithm", ["ilql", "psi", "dpo", "swift", "bc"])
@pytest.mark.parametrize("dropout", [None, True, False])
def test_a_setting_says_otherwise(algorithm: str, dropout: bool | None) -> None:
    losses = []
    for chance in (0.0, 0.4):
        agent = make_agent(algorithm, make_lm(dropout=chance))
        losses.append(row_of(agent, Logged(make_episodes(8)), dropout=dropout)["loss"])
    draws = algorithm in DRAWS if dropout is None else dropout
    assert (losses[0] == losses[1]) != draws


def test_dpo_begins_at_its_reference() -> None:
    agent = make_agent("dpo", make_lm(dropout=0.3))
    row = row_of(agent, Logged(make_episodes(18)))
    assert row["policy/kl"] == pytest.approx(0, abs=1e-6) and row["policy/margin"] == pytest.approx(0, abs=1e-6)
    assert agent.model.config.resid_pdrop == 0.3  # saved as it was


@pytest.mark.parametrize("adapters", [False, True])
@needs_sb3("ppo")
def test_ppo_begins_inside_its_clip(adapters: bool) -> None:
    lm = LM(llama(), TOKENIZER, 3) if adapters else make_lm(dropout=0.3)
    row = row_of(PPO(lm, PPOConfig(epochs=1, minibatches=1)), Live(make_env()))
    assert row["policy/clip_fraction"] == 0 and row["policy/update_kl"] == pytest.approx(0, abs=1e-6)
    row = row_of(PPO(make_lm(dropout=0.3), PPOConfig(epochs=1, minibatches=1)), Live(make_env()), dropout=True)
    assert row["policy/update_kl"] > 1e-4


def test_a_run_without_dropout_goes_on_without_it(tmp_path: Path) -> None:
    def learned(steps: int, dropout: bool = False, **settings: Any) -> Agent:
        agent = make_agent("bc", make_lm(dropout=0.3))
        return agent.learn(Logged(make_episodes(8)), steps, lr=1e-2, batch_size=4, dropout=dropout, **settings)

    whole = learned(4, schedule_steps=4)
    learned(2, schedule_steps=4, out=tmp_path)
    assert same_weights(weights(whole), weights(learned(4, schedule_steps=4, out=tmp_path)))
    with pytest.raises(ValueError, match=r"fit\.dropout is False there and True here"):
        learned(4, dropout=True, schedule_steps=4, out=tmp_path)


@pytest.mark.parametrize(
    ("algorithm", "dropout", "told"), [("dpo", None, True), ("dpo", True, False), ("bc", None, False)]
)
def test_who_asked_for_dropout_of_adapters_is_told_where_none_is_drawn(
    algorithm: str, dropout: bool | None, told: bool, recwarn: pytest.WarningsRecorder
) -> None:
    lm = make_lm()
    lm.lora = LoRAConfig(rank=2, dropout=0.3)
    add_adapters(lm.model, lm.lora)
    row_of(make_agent(algorithm, lm), Logged(make_episodes(16)), dropout=dropout)
    assert any("dropout of 0.3 is not drawn: dpo" in str(warning.message) for warning in recwarn) == told
