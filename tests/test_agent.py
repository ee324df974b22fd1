"""What every agent does: build its model, play, save, load."""

import json
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
    Toy,
    ToyConfig,
    make_agent,
    make_env,
    make_episodes,
    make_lm,
    same_weights,
    weights,
)
from transformers import AutoModelForCausalLM, AutoTokenizer

from agents import AGENTS, LM, Agent, BCConfig, DecisionTransformer, FitConfig, ILQLConfig, Logged, ValueLM
from lang_envs import rollout


def replies(agent: Agent) -> list[list[int]]:
    """What the agent says in a few episodes."""
    return [e.tokens.tolist() for e in rollout(make_env(), agent.policy(), range(6))]


def test_the_names_are_the_algorithms() -> None:
    assert {name: kind.name for name, kind in AGENTS.items()} == {name: name for name in AGENTS}
    values = ["sarsa", "monte_carlo", "ilql", "awr", "cql", "psi", "utterance_ilql"]
    assert list(AGENTS) == ["bc", *values, "decision_transformer", "refit", "swift", "dpo", "ppo"]


@pytest.mark.parametrize("algorithm", AGENTS)
def test_values_only_where_they_are_needed(algorithm: str) -> None:
    agent = make_agent(algorithm)
    plain = ("bc", "decision_transformer", "refit", "swift", "dpo", "ppo")
    assert isinstance(agent.model, ValueLM) == agent.needs_values == (algorithm not in plain)
    assert not agent.model.training and agent.step == 0


def test_the_configuration_reaches_the_heads() -> None:
    agent = AGENTS["ilql"](make_lm(), ILQLConfig(num_q=1, trunks="separate", bias_init=-3.0, zero_init=True))
    config = agent.model.config
    assert (config.num_q, config.trunks, config.bias_init, config.zero_init) == (1, "separate", -3.0, True)


def test_the_seed_draws_the_heads() -> None:
    first, again, other = (weights(AGENTS["ilql"](make_lm(), seed=seed)) for seed in (0, 0, 1))
    assert same_weights(first, again) and not same_weights(first, other)


@pytest.mark.parametrize("algorithm", OFFLINE)
def test_a_saved_agent_is_the_same_agent(algorithm: str, tmp_path: Path) -> None:
    agent = make_agent(algorithm)
    agent.learn(Logged(make_episodes(16)), 3, lr=1e-2, batch_size=8, betas=(0.8, 0.9))
    folder = agent.save(tmp_path / "agent")
    loaded = Agent.load(folder)
    assert type(loaded) is AGENTS[algorithm] and loaded.config == agent.config and loaded.step == 3
    assert loaded.fit_config is not None and loaded.fit_config.betas == (0.8, 0.9)
    assert same_weights(weights(agent), weights(loaded))
    assert replies(loaded) == replies(agent)
    assert not list(folder.parent.glob("agent.*")) and not list(folder.glob("*.bin")) + list(folder.glob("*.pkl"))
    saved = json.loads((folder / "agent.json").read_text())
    assert saved["algorithm"] == algorithm and {"torch", "transformers"} <= saved["versions"].keys()


@pytest.mark.parametrize("algorithm", OFFLINE)
def test_a_saved_agent_opens_without_this_package_s_loader(algorithm: str, tmp_path: Path) -> None:
    agent = make_agent(algorithm).learn(Logged(make_episodes(16)), 2, batch_size=8)
    model = AutoModelForCausalLM.from_pretrained(agent.save(tmp_path / "agent"), dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "agent")
    assert (tokenizer.eos_token_id, tokenizer.pad_token_id) == (END, PAD)
    prompt = [SAY, *([agent.token_of()] if isinstance(agent, DecisionTransformer) else [])]
    said = model.generate(torch.tensor([prompt]), max_new_tokens=3, do_sample=False, pad_token_id=PAD)[0, len(prompt) :]
    [turn] = agent.policy(greedy=True).act([np.array([SAY], np.int32)], [np.random.default_rng(0)])
    assert said.tolist() == turn.tokens.tolist()


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
    saved: dict[str, Any] = json.loads((folder / "agent.json").read_text())
    (folder / "agent.json").write_text(json.dumps(saved | {"algorithm": "alchemy"}))
    with pytest.raises(ValueError, match="no algorithm 'alchemy'"):
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
