"""Checks that every agent in ``AGENTS`` must pass, agents added later included."""

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from toy_agent import (
    END,
    OFFLINE,
    PAD,
    SAY,
    make_agent,
    make_env,
    make_episodes,
    make_lm,
    needs_sb3,
    same_weights,
    weights,
)
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.modeling_layers import GradientCheckpointingLayer

from agents import AGENTS, Agent, Batch, DecisionTransformer, FitConfig, Live, Logged, Mixed, ValueLM, collate, fit
from lang_envs import Episode, rollout

EVERY = pytest.mark.parametrize("algorithm", [pytest.param(name, marks=needs_sb3(name)) for name in AGENTS])
FROM_LOGS = pytest.mark.parametrize("algorithm", OFFLINE)
ON_POLICY = pytest.mark.parametrize(
    "algorithm", [pytest.param(name, marks=needs_sb3(name)) for name in AGENTS if name not in OFFLINE]
)
WITH_VALUES = pytest.mark.parametrize("algorithm", [name for name, kind in AGENTS.items() if kind.needs_values])
WITH_Q = pytest.mark.parametrize(
    "algorithm",
    [name for name, kind in AGENTS.items() if kind.needs_values and kind.model_settings.get("q_head") != "none"],
)
TRUNKS = pytest.mark.parametrize("trunks", ["shared", "separate"])


def source(algorithm: str = "bc") -> Any:
    """A log, and live episodes too for who needs them."""
    log = Logged(make_episodes(18), seed=1)
    return log if algorithm in OFFLINE else Mixed(log, Live(make_env(), seed=2), logged_fraction=0.5)


def batch_of(agent: Agent, n: int = 8) -> Batch:
    return collate(make_episodes(n), agent.lm.pad_id, agent.lm.end_id, agent.lm.max_utterance_tokens)


def with_values(algorithm: str, **settings: Any) -> Agent:
    config = dataclasses.replace(make_agent(algorithm).config, **settings)
    return AGENTS[algorithm](make_lm(), config)


def begun(algorithm: str, dropout: float = 0.0) -> Agent:
    """An agent that knows what it finds at the beginning of training."""
    agent = make_agent(algorithm, make_lm(dropout=dropout))
    if algorithm in OFFLINE:
        agent.prepare(source())
    return agent


def replies(agent: Agent) -> list[list[int]]:
    """What the agent says in a few episodes."""
    return [e.tokens.tolist() for e in rollout(make_env(), agent.policy(), range(6))]


def gradients(agent: Agent, batch: Batch) -> dict[str, torch.Tensor]:
    agent.model.train().zero_grad(set_to_none=True)
    loss, _ = agent.loss(batch)
    loss.backward()
    return {name: p.grad.clone() for name, p in agent.model.named_parameters() if p.grad is not None}


def parts_of_values(agent: Agent) -> set[str]:
    """The names of the parts of a model that values are learned by, and nothing else."""
    return {name for name in ("q", "v", "value_trunk") if hasattr(agent.model, name)}


# What is learned


@EVERY
def test_values_only_where_they_are_needed(algorithm: str) -> None:
    agent = make_agent(algorithm)
    plain = ("bc", "decision_transformer", "refit", "swift", "dpo", "kto", "grpo", "q_sft", "ppo")
    assert isinstance(agent.model, ValueLM) == agent.needs_values == (algorithm not in plain)
    assert not agent.model.training and agent.step == 0


@FROM_LOGS
def test_the_loss_of_one_batch_falls(algorithm: str) -> None:
    episodes = make_episodes(8)
    rows = list(fit(make_agent(algorithm), Logged(episodes), 24, FitConfig(lr=5e-3, batch_size=8, log_every=8)))
    assert all(math.isfinite(value) for row in rows for value in row.values())
    assert rows[-1]["loss"] < rows[0]["loss"]


@EVERY
@pytest.mark.parametrize("kind", ["live", "mixed"])
def test_what_is_played_can_be_learned_from(algorithm: str, kind: str) -> None:
    live = Live(make_env())
    where = live if kind == "live" else Mixed(Logged(make_episodes(18)), live)
    [row] = fit(make_agent(algorithm), where, 2, FitConfig(lr=1e-2, batch_size=8))
    assert row["step"] == 2 and all(math.isfinite(value) for value in row.values())


@ON_POLICY
def test_who_learns_from_fresh_episodes_alone_refuses_others(algorithm: str) -> None:
    log = Logged(make_episodes(4))
    for stale in (log, Mixed(log, Live(make_env()), logged_fraction=1.0)):
        with pytest.raises(ValueError, match=r"just played itself"):
            make_agent(algorithm).learn(stale, 1)


@FROM_LOGS
def test_gradients_reach_what_is_trained_and_nothing_else(algorithm: str) -> None:
    agent = begun(algorithm)
    reached = {name for name, gradient in gradients(agent, batch_of(agent)).items() if gradient.any()}
    expected = {name for name, p in agent.model.named_parameters() if p.requires_grad}
    assert {name.split(".")[0] for name in reached} == (
        {"lm", *parts_of_values(agent)}
        if agent.needs_values
        else {"transformer"}  # the head is the embeddings, transposed
    )
    assert reached <= expected and expected - reached <= {"lm_head.weight"}


@WITH_VALUES
def test_each_of_three_trunks_has_gradients_of_its_own_losses(algorithm: str) -> None:
    agent = with_values(algorithm, trunks="separate")
    reached = {name.split(".")[0] for name, gradient in gradients(agent, batch_of(agent)).items() if gradient.any()}
    assert reached == {"lm", *parts_of_values(agent)} and "value_trunk" in reached


@WITH_Q
def test_without_its_own_loss_nothing_moves_a_language_model_with_a_trunk_of_its_own(algorithm: str) -> None:
    weight = "actor_weight" if algorithm == "archer" else "bc_weight"
    agent = with_values(algorithm, trunks="separate", **{weight: 0.0})
    reached = {name.split(".")[0] for name, gradient in gradients(agent, batch_of(agent)).items() if gradient.any()}
    assert reached == {"q", "v", "value_trunk"}  # psi reads log p, AWR weighs it


@FROM_LOGS
def test_a_step_moves_what_is_trained_and_nothing_else(algorithm: str) -> None:
    agent = make_agent(algorithm)
    before = weights(agent)
    frozen = {name for name, p in agent.model.named_parameters() if not p.requires_grad}
    agent.learn(source(), 1, lr=1e-2)
    moved = {name for name, tensor in agent.model.state_dict().items() if not torch.equal(tensor, before[name])}
    trained = before.keys() - frozen
    assert trained - moved <= {name for name in trained if name.endswith("wpe.weight")} and moved - trained <= frozen
    assert all(p.grad is None for name, p in agent.model.named_parameters() if name in frozen)


@WITH_Q
@TRUNKS
def test_targets_move_by_polyak_averaging_alone(algorithm: str, trunks: str) -> None:
    agent = with_values(algorithm, trunks=trunks, target_rate=0.25, bias_init=0.0, value_unit=1.0)
    before = weights(agent)
    agent.learn(Logged(make_episodes(8)), 1, batch_size=8, lr=1e-2)
    after = weights(agent)
    follows = {"target_q": "q", "target_trunk": "value_trunk"}
    targets = [name for name in before if name.split(".")[0] in follows]
    assert {name.split(".")[0] for name in targets} == (
        {"target_q"} if trunks == "shared" else {"target_q", "target_trunk"}
    )
    for name in targets:
        first, rest = name.split(".", 1)
        online = after[f"{follows[first]}.{rest}"]
        rate = 1.0 if algorithm == "monte_carlo" else 0.25  # nothing bootstraps from its targets
        torch.testing.assert_close(after[name], (1 - rate) * before[name] + rate * online)
    moved = sum(not torch.equal(after[name], before[name]) for name in targets)
    assert moved > len(targets) / 2


@pytest.mark.parametrize(
    "algorithm", [name for name in OFFLINE if name not in ("dpo", "kto")]
)  # which refuse such a log
def test_a_batch_in_which_nothing_was_said_teaches_nothing(algorithm: str) -> None:
    silent = Episode(np.array([1, 2], np.int32), np.zeros(2, np.bool_), np.zeros(2, np.float32), False, True)
    agent = make_agent(algorithm)
    before = weights(agent)
    agent.learn(Logged([silent]), 1, batch_size=2, accumulate=2)
    assert same_weights(before, weights(agent))


# However it is computed


@EVERY
def test_a_loss_does_not_see_padding_or_order(algorithm: str) -> None:
    agent = make_agent(algorithm)
    episodes = make_episodes(6)
    batch = collate(episodes, agent.lm.pad_id, agent.lm.end_id)
    expected, parts = agent.loss(batch)
    reordered = collate([episodes[i] for i in (4, 5, 1, 0, 2, 3)], agent.lm.pad_id, agent.lm.end_id)
    wide = dataclasses.replace(
        batch,
        **{
            name: torch.nn.functional.pad(getattr(batch, name), (0, 5), value=agent.lm.pad_id * (name == "input_ids"))
            for name in (field.name for field in dataclasses.fields(batch))
        },
    )
    for other in (reordered, wide):
        loss, other_parts = agent.loss(other)
        assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
        assert {k: v.item() for k, v in other_parts.items()} == pytest.approx(
            {k: v.item() for k, v in parts.items()}, rel=1e-4, abs=1e-6
        )


@pytest.mark.parametrize("algorithm", ["toy", *OFFLINE])
def test_accumulation_is_one_batch(algorithm: str) -> None:
    runs = {}
    for accumulate in (1, 8):
        agent = make_agent(algorithm)
        rows = list(fit(agent, source(), 1, FitConfig(batch_size=8, accumulate=accumulate, clip_norm=math.inf)))
        runs[accumulate] = {n: p.grad for n, p in agent.model.named_parameters() if p.grad is not None}, rows[0]
    (whole, whole_row), (split, split_row) = runs.values()
    assert whole.keys() == split.keys() and whole
    for name in whole:
        torch.testing.assert_close(whole[name], split[name], rtol=1e-4, atol=1e-6)
    for name in whole_row:
        assert name.startswith("time/") or split_row[name] == pytest.approx(whole_row[name], rel=1e-4, abs=1e-5), name


@EVERY
def test_activations_that_are_computed_again_change_nothing(algorithm: str) -> None:
    passes, runs = 0, []

    def count(*_: Any) -> None:
        nonlocal passes
        passes += 1

    for again in (False, True):
        agent, passes = make_agent(algorithm, make_lm(dropout=0.2)), 0
        for layer in (m for m in agent.model.modules() if isinstance(m, GradientCheckpointingLayer)):
            layer.mlp.register_forward_pre_hook(count)
        settings = {"lr": 1e-2, "batch_size": 4, "gradient_checkpointing": again}
        agent.learn(source(algorithm), 2, **settings)
        runs.append((weights(agent), passes))
    assert same_weights(runs[0][0], runs[1][0]) and runs[1][1] > runs[0][1]


@FROM_LOGS
def test_bfloat16_is_close_to_float32(algorithm: str) -> None:
    agent = begun(algorithm)
    batch = batch_of(agent)
    exact = gradients(agent, batch)
    expected, _ = agent.loss(batch)
    with torch.autocast("cpu", torch.bfloat16):
        loss, parts = agent.loss(batch)
        assert loss.dtype == torch.float32 and all(torch.isfinite(part) for part in parts.values())
        near = gradients(agent, batch)
    assert loss.item() == pytest.approx(expected.item(), rel=0.02, abs=0.02)
    flat = [torch.cat([g[name].flatten() for name in exact]) for g in (exact, near)]
    assert torch.nn.functional.cosine_similarity(*flat, dim=0) > 0.98


@EVERY
def test_a_run_in_bfloat16_keeps_its_weights_in_float32(algorithm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.training.fit.native_bf16", lambda: True)  # elsewhere it is slow, but right
    agent = make_agent(algorithm)
    rows = list(fit(agent, source(algorithm), 2, FitConfig(batch_size=4, bf16=True, log_every=1)))
    assert all(math.isfinite(row["loss"]) for row in rows)
    assert {tensor.dtype for tensor in weights(agent).values()} == {torch.float32}


# Kept and continued


@EVERY
def test_a_run_goes_on_bit_for_bit(algorithm: str, tmp_path: Path) -> None:
    def settings(**more: Any) -> dict[str, Any]:
        return {"lr": 1e-2, "batch_size": 4, "schedule_steps": 4, **more}

    def made() -> Agent:
        return make_agent(algorithm, make_lm(dropout=0.2))

    whole = made().learn(source(algorithm), 4, **settings())
    made().learn(source(algorithm), 3, **settings(out=tmp_path))
    torch.manual_seed(7)  # whatever happens in between
    resumed = made().learn(source(algorithm), 4, **settings(out=tmp_path))
    assert same_weights(whole.network.state_dict(), resumed.network.state_dict()) and resumed.step == 4


@EVERY
def test_a_saved_agent_is_the_same_agent(algorithm: str, tmp_path: Path) -> None:
    agent = make_agent(algorithm)
    agent.learn(source(algorithm), 3, lr=1e-2, batch_size=8, betas=(0.8, 0.9))
    folder = agent.save(tmp_path / "agent")
    loaded = Agent.load(folder)
    assert type(loaded) is AGENTS[algorithm] and loaded.config == agent.config and loaded.step == 3
    assert loaded.fit_config is not None and loaded.fit_config.betas == (0.8, 0.9)
    assert same_weights(weights(agent), weights(loaded))
    assert replies(loaded) == replies(agent)
    assert not list(folder.parent.glob("agent.*")) and not list(folder.glob("*.bin")) + list(folder.glob("*.pkl"))
    saved = json.loads((folder / "agent.json").read_text())
    assert saved["algorithm"] == algorithm and {"torch", "transformers"} <= saved["versions"].keys()


@EVERY
def test_a_saved_agent_opens_without_this_package_s_loader(algorithm: str, tmp_path: Path) -> None:
    agent = make_agent(algorithm).learn(source(algorithm), 2, batch_size=8)
    model = AutoModelForCausalLM.from_pretrained(agent.save(tmp_path / "agent"), dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "agent")
    assert (tokenizer.eos_token_id, tokenizer.pad_token_id) == (END, PAD)
    prompt = [SAY, *([agent.token_of()] if isinstance(agent, DecisionTransformer) else [])]
    said = model.generate(torch.tensor([prompt]), max_new_tokens=3, do_sample=False, pad_token_id=PAD)[0, len(prompt) :]
    [turn] = agent.policy(greedy=True).act([np.array([SAY], np.int32)], [np.random.default_rng(0)])
    assert said.tolist() == turn.tokens.tolist()
