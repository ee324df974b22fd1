"""Every agent builds its model, plays, saves and loads."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from toy_agent import (
    Toy,
    ToyConfig,
    make_env,
    make_episodes,
    make_lm,
    same_weights,
    weights,
)

from agents import AGENTS, LM, Agent, BCConfig, FitConfig, ILQLConfig, Logged


def test_the_names_are_the_algorithms() -> None:
    assert {name: kind.name for name, kind in AGENTS.items()} == {name: name for name in AGENTS}
    values = ["sarsa", "monte_carlo", "ilql", "awr", "cql", "psi", "utterance_ilql", "archer", "oreo"]
    assert list(AGENTS) == [
        "bc",
        *values,
        "decision_transformer",
        "refit",
        "swift",
        "dpo",
        "kto",
        "grpo",
        "q_sft",
        "ppo",
    ]


def test_the_configuration_reaches_the_heads() -> None:
    agent = AGENTS["ilql"](make_lm(), ILQLConfig(num_q=1, trunks="separate", bias_init=-3.0, zero_init=True))
    config = agent.model.config
    assert (config.num_q, config.trunks, config.bias_init, config.zero_init) == (1, "separate", -3.0, True)


def test_the_heads_are_saved_as_what_they_are(tmp_path: Path) -> None:
    asked = ILQLConfig()
    agent = AGENTS["ilql"](make_lm(), asked)
    assert asked.q_head is None and agent.config.q_head == agent.model.config.q_head == "full"
    folder = agent.save(tmp_path / "agent")
    assert json.loads((folder / "agent.json").read_text())["config"]["q_head"] == "full"
    low = AGENTS["ilql"](make_lm(), ILQLConfig(q_head="low_rank"))
    goes_on = AGENTS["ilql"](LM(low.model, low.lm.tokenizer, 7), asked)
    assert goes_on.model is low.model and goes_on.config.q_head == "low_rank"


def test_the_seed_draws_the_heads() -> None:
    first, again, other = (weights(AGENTS["ilql"](make_lm(), seed=seed)) for seed in (0, 0, 1))
    assert same_weights(first, again) and not same_weights(first, other)


def test_training_goes_on_from_a_saved_agent(tmp_path: Path) -> None:
    agent = AGENTS["ilql"](make_lm()).learn(Logged(make_episodes(16)), 2, batch_size=8)
    before = weights(agent)
    loaded = Agent.load(agent.save(tmp_path / "agent")).learn(Logged(make_episodes(16)), 2, batch_size=8)
    assert loaded.step == 4 and not same_weights(before, weights(loaded))


def test_a_cloned_model_can_grow_values(tmp_path: Path) -> None:
    cloned = AGENTS["bc"](make_lm()).learn(Logged(make_episodes(16)), 2, batch_size=8)
    lm = LM.from_pretrained(cloned.save(tmp_path / "bc"), make_env())
    agent = AGENTS["ilql"](lm)
    for name, tensor in weights(cloned).items():
        assert torch.equal(agent.model.state_dict()[f"lm.{name}"], tensor)
    agent.save(tmp_path / "ilql")
    with pytest.raises(ValueError, match="got one with value heads"):
        AGENTS["bc"](LM.from_pretrained(tmp_path / "ilql", make_env()))


def test_saving_replaces_an_agent_and_nothing_else(tmp_path: Path) -> None:
    agent = Toy(make_lm(), ToyConfig())
    agent.save(tmp_path / "agent")
    agent.learn(Logged(make_episodes(8)), 1, batch_size=4)
    agent.save(tmp_path / "agent")
    assert Toy.load(tmp_path / "agent").step == 1
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("precious")
    with pytest.raises(ValueError, match="is not empty and holds no agent"):
        agent.save(tmp_path / "thesis")
    assert (tmp_path / "thesis" / "chapter.txt").read_text() == "precious"


def test_a_save_that_fails_leaves_the_agent_that_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = Toy(make_lm(), ToyConfig())
    agent.save(tmp_path / "agent")
    monkeypatch.setattr(Agent, "_description", lambda self: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        agent.save(tmp_path / "agent")
    assert same_weights(weights(Toy.load(tmp_path / "agent")), weights(agent))


def test_what_cannot_be_loaded_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no saved agent"):
        Agent.load(tmp_path)
    folder = AGENTS["bc"](make_lm()).save(tmp_path / "agent")
    with pytest.raises(ValueError, match="holds 'bc', not 'ilql'"):
        AGENTS["ilql"].load(folder)
    (folder / "checksums.json").unlink()
    saved: dict[str, Any] = json.loads((folder / "agent.json").read_text())
    (folder / "agent.json").write_text(json.dumps(saved | {"algorithm": "alchemy"}))
    with pytest.raises(ValueError, match="no agent 'alchemy'"):
        Agent.load(folder)
    (folder / "agent.json").write_text(json.dumps(saved | {"format_version": 99}))
    with pytest.raises(ValueError, match="format 99"):
        Agent.load(folder)


def test_the_wrong_configuration_is_refused() -> None:
    with pytest.raises(TypeError, match="configured by ILQLConfig, not BCConfig"):
        AGENTS["ilql"](make_lm(), BCConfig())


def test_prepare_chooses_what_is_learned() -> None:
    episodes = make_episodes(20)
    agent = AGENTS["bc"](make_lm(), BCConfig(keep_top=0.2))
    chosen = agent.prepare(Logged(episodes))
    assert len(chosen) == 4 and chosen.sample(4).returns.min() >= np.sort(episodes.returns)[-4]


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(TypeError, match="learning_rate"):
        Toy(make_lm()).learn(Logged(make_episodes(4)), 1, learning_rate=1.0)
    assert FitConfig().lr > 0
