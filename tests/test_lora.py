"""Adapters: what is trained, shared and saved, and a run that continues from its checkpoint."""

import copy
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from test_layouts import check, make_layout
from toy_agent import OFFLINE, TOKENIZER, make_agent, make_env, make_episodes, needs_sb3, same_weights, weights
from transformers import AutoModelForCausalLM

from agents import AGENTS, BC, LM, Agent, ILQLConfig, Live, Logged, Mixed, cli
from agents.models.lora import LoRAConfig, checksum
from lang_envs import rollout
from lang_envs.make import language_vec
from lang_envs.policies.any_task import Say

LORA = LoRAConfig(rank=2)
ADAPTERS = ("lora_A", "lora_B")
EVERY = pytest.mark.parametrize("algorithm", [pytest.param(name, marks=needs_sb3(name)) for name in AGENTS])


def source(algorithm: str) -> Any:
    log = Logged(make_episodes(12), seed=1)
    return log if algorithm in OFFLINE else Mixed(log, Live(make_env()), logged_fraction=0.5)


def adapted(tmp_path: Path, layout: str = "gpt2", **settings: Any) -> LM:
    return make_layout(layout, tmp_path / "lm", lora=LoRAConfig(rank=2, **settings))


def ids() -> torch.Tensor:
    return torch.randint(0, 8, (2, 9), generator=torch.Generator().manual_seed(0))


@EVERY
def test_adapters_and_heads_are_trained_and_nothing_else(algorithm: str, tmp_path: Path) -> None:
    plain = make_layout("gpt2", tmp_path / "plain").model
    agent = make_agent(algorithm, adapted(tmp_path))
    if algorithm != "decision_transformer":  # which reads more than the plain one
        with torch.no_grad():
            torch.testing.assert_close(getattr(agent.model, "lm", agent.model)(ids()).logits, plain(ids()).logits)
    before = weights(agent)
    agent.learn(source(algorithm), 2, lr=1e-2, batch_size=4)
    moved = {name for name, tensor in weights(agent).items() if not torch.equal(tensor, before[name])}
    heads = {name for name in moved if name.split(".")[0] in ("q", "v", "target_q")}
    assert bool(heads) == agent.needs_values
    assert all(any(part in name for name in moved) for part in ADAPTERS)
    others = {name for name in moved - heads if not any(part in name for part in ADAPTERS)}
    assert others == ({"transformer.wte.new"} if algorithm == "decision_transformer" else set())  # tokens of returns


@EVERY
def test_what_is_merged_needs_neither_adapters_nor_peft(
    algorithm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = make_agent(algorithm, adapted(tmp_path, "qwen2")).learn(source(algorithm), 2, lr=1e-2, batch_size=4)
    folder = agent.save(tmp_path / "agent", merge=True)
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "peft", None)
        opened = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    assert not [name for name in opened.state_dict() if "lora" in name or "base_layer" in name]
    with torch.no_grad():
        logits = [model(ids()).logits[..., : len(TOKENIZER)] for model in (opened, agent.model)]
        torch.testing.assert_close(*logits, rtol=1e-4, atol=1e-4)
    loaded = Agent.load(folder)
    assert loaded.lm.lora == agent.lm.lora == LORA and (loaded.reference is None) == (agent.reference is None)
    played = [list(rollout(make_env(), a.policy(greedy=True), range(4))) for a in (agent, loaded)]
    assert all(np.array_equal(a.tokens, b.tokens) for a, b in zip(*played, strict=True))
    trained = {name for name, p in loaded.model.named_parameters() if p.requires_grad}
    assert trained == {name for name, p in agent.model.named_parameters() if p.requires_grad}
    loaded.learn(source(algorithm), 1, lr=1e-2, batch_size=4)


def said(agent: Agent) -> list[list[int]]:
    return [episode.tokens.tolist() for episode in rollout(make_env(), agent.policy(), range(8))]


@EVERY
@pytest.mark.parametrize("layout", ["gpt2", "qwen2"])
def test_adapters_are_saved_as_adapters(algorithm: str, layout: str, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"lr": 1e-2, "batch_size": 4, "schedule": "constant"}
    agent = make_agent(algorithm, adapted(tmp_path, layout)).learn(source(algorithm), 2, **settings)
    folder = agent.save(tmp_path / "agent")
    with safe_open(folder / "adapters.safetensors", "pt") as file:
        names = " ".join(file.keys())
    assert "lora_A" in names and "base_layer" not in names and not [*folder.rglob("model.safetensors")]
    loaded = Agent.load(folder)
    assert (loaded.lm.lora, loaded.lm.origin) == (agent.lm.lora, agent.lm.origin) and agent.lm.origin is not None
    assert same_weights(weights(loaded), weights(agent))
    assert (loaded.reference is None) == (agent.reference is None)
    if agent.reference is not None and loaded.reference is not None:
        assert same_weights(loaded.reference.state_dict(), agent.reference.state_dict())
        shared = {id(p) for p in loaded.model.parameters()} & {id(p) for p in loaded.reference.parameters()}
        assert shared and not any(p.requires_grad for p in loaded.reference.parameters())
    assert said(loaded) == said(agent)
    trained = [{name for name, p in a.model.named_parameters() if p.requires_grad} for a in (agent, loaded)]
    assert trained[0] == trained[1]
    further = [weights(a.learn(source(algorithm), 1, **settings)) for a in (agent, loaded)]
    assert same_weights(*further) or algorithm == "ppo"  # whose critic is no part of a saved agent


def test_a_saved_agent_of_adapters_is_opened_as_a_language_model(tmp_path: Path) -> None:
    agent = make_agent("bc", adapted(tmp_path, "llama")).learn(source("bc"), 2, lr=1e-2, batch_size=4)
    lm = LM.from_pretrained(agent.save(tmp_path / "agent"), make_env())
    assert not [name for name in lm.model.state_dict() if "lora" in name] and lm.lora is None
    assert all(p.requires_grad for p in lm.model.parameters())  # without adapters all of it is trained
    with torch.no_grad():
        torch.testing.assert_close(lm.model(ids()).logits, agent.model(ids()).logits, rtol=1e-4, atol=1e-4)
    again = LM.from_pretrained(tmp_path / "agent", make_env(), LORA)
    assert again.origin is None  # the agent may be saved again, as another one
    folder = make_agent("bc", again).save(tmp_path / "next")
    shutil.rmtree(tmp_path / "agent")
    assert (folder / "model.safetensors").exists() and Agent.load(folder).lm.lora == LORA


def test_a_decoding_goes_with_the_adapters(tmp_path: Path) -> None:
    agent = make_agent("ilql", adapted(tmp_path)).learn(source("ilql"), 1, batch_size=4)
    agent.decoding = {"greedy": True, "advantage_weight": 3.0}
    before = agent.model.config.advantage_weight
    loaded = Agent.load(agent.save(tmp_path / "agent"))
    assert loaded.decoding == agent.decoding and loaded.model.config.advantage_weight == before
    assert loaded.model.generation_config.to_dict() == agent.model.generation_config.to_dict()


def test_another_model_below_is_refused_in_words(tmp_path: Path) -> None:
    folder = make_agent("bc", adapted(tmp_path)).save(tmp_path / "agent")
    make_layout("gpt2", tmp_path / "lm", {"n_layer": 1})
    with pytest.raises(ValueError, match=r"adapters of another model: the weights of '.*lm' have the checksum"):
        Agent.load(folder)
    shutil.rmtree(tmp_path / "lm")
    with pytest.raises(ValueError, match=r"adapters of the model '.*lm', which must be where it was.*merge=True"):
        Agent.load(folder)


@pytest.mark.parametrize("harm", ["not finite", "another shape", "another name", "no settings"])
def test_adapters_that_do_not_fit_are_refused_in_words(harm: str, tmp_path: Path) -> None:
    folder = make_agent("bc", adapted(tmp_path)).save(tmp_path / "agent")
    (folder / "checksums.json").unlink()
    tensors = load_file(folder / "adapters.safetensors")
    name = min(tensors)
    if harm == "not finite":
        tensors[name][0, 0] = float("nan")
    elif harm == "another shape":
        tensors[name] = tensors[name][:1].clone()
    elif harm == "another name":
        tensors["other"] = tensors.pop(name)
    else:
        (folder / "adapters.json").write_text("{}")
    save_file(tensors, folder / "adapters.safetensors")
    with pytest.warns(UserWarning, match="checksums"), pytest.raises(ValueError, match=r"adapters\.(safetensors|json)"):
        Agent.load(folder)


@pytest.mark.parametrize(
    "algorithm", ["bc", "ilql", "decision_transformer", "dpo", pytest.param("ppo", marks=needs_sb3("ppo"))]
)
def test_a_run_goes_on_bit_for_bit_from_a_small_checkpoint(algorithm: str, tmp_path: Path) -> None:
    def settings(**more: Any) -> dict[str, Any]:
        return {"lr": 1e-2, "batch_size": 4, "schedule_steps": 4, **more}

    def made() -> Agent:
        return make_agent(algorithm, adapted(tmp_path, "llama", dropout=0.2))

    whole = made().learn(source(algorithm), 4, **settings())
    made().learn(source(algorithm), 2, **settings(out=tmp_path / "run"))
    torch.manual_seed(7)  # whatever happens in between
    resumed = made().learn(source(algorithm), 4, **settings(out=tmp_path / "run"))
    assert same_weights(weights(whole), weights(resumed))
    with safe_open(tmp_path / "run" / "checkpoints" / "step-000000004" / "model.safetensors", "pt") as file:
        names = " ".join(file.keys())
    assert "lora_A" in names and "base_layer" not in names and "norm" not in names


def test_a_run_with_other_weights_below_is_refused_in_words(tmp_path: Path) -> None:
    make_agent("bc", adapted(tmp_path)).learn(source("bc"), 1, out=tmp_path / "run")
    other = adapted(tmp_path)
    with torch.no_grad():
        next(p for p in other.model.parameters() if not p.requires_grad).view(-1)[3] += 1
    with pytest.raises(ValueError, match=r"of another run: lora.weights is"):
        make_agent("bc", other).learn(source("bc"), 2, out=tmp_path / "run")
    with pytest.raises(ValueError, match=r"of another run: lora.rank is 2 there and 3 here"):
        lm = make_layout("gpt2", tmp_path / "lm", lora=LoRAConfig(rank=3))
        make_agent("bc", lm).learn(source("bc"), 2, out=tmp_path / "run")
    with pytest.raises(ValueError, match=r"belongs to another model"):
        make_agent("bc", make_layout("gpt2", tmp_path / "lm")).learn(source("bc"), 2, out=tmp_path / "run")


@pytest.mark.parametrize("algorithm", ["dpo", pytest.param("ppo", marks=needs_sb3("ppo"))])
def test_the_start_policy_is_the_same_model_but_for_its_adapters(algorithm: str, tmp_path: Path) -> None:
    first = make_agent("bc", adapted(tmp_path)).learn(source("bc"), 2, lr=1e-2, batch_size=4)
    start = copy.deepcopy(first.model)  # not the model as it was loaded: adapters have learned already
    agent = make_agent(algorithm, first.lm).learn(source(algorithm) if algorithm != "ppo" else Live(make_env()), 2)
    reference: Any = agent.network.reference if algorithm == "ppo" else agent.reference
    assert same_weights(reference.state_dict(), start.state_dict())
    assert not same_weights(weights(agent), start.state_dict())
    assert not any(p.requires_grad for p in reference.parameters())
    of_the_agent = {id(p) for p in agent.model.parameters()}
    own = {name for name, p in reference.named_parameters() if id(p) not in of_the_agent}
    assert own and all(any(part in name for part in ADAPTERS) for name in own)


@pytest.mark.parametrize("layout", ["gpt2", "llama"])
def test_three_transformers_share_what_adapters_leave_alone(layout: str, tmp_path: Path) -> None:
    agent = AGENTS["ilql"](adapted(tmp_path, layout), ILQLConfig(trunks="separate", target_rate=0.5))
    check(agent, tmp_path / "agent")
    trunks = [dict(trunk.named_parameters()) for trunk in agent.model.trunks]
    for name, parameter in trunks[0].items():
        others = {id(trunk[name]) for trunk in trunks}
        assert len(others) == (1 if not parameter.requires_grad else 3)
    moved = [p for name, p in trunks[2].items() if "lora_B" in name and p.any()]
    assert moved and not any(p.requires_grad for p in trunks[2].values())
    loaded = Agent.load(tmp_path / "agent")
    with torch.no_grad():
        torch.testing.assert_close(loaded.model(ids()).logits, agent.model(ids()).logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("algorithm", ["bc", "ilql"])
def test_activations_can_be_computed_again_above_frozen_embeddings(algorithm: str, tmp_path: Path) -> None:
    made = [make_agent(algorithm, adapted(tmp_path, "llama", dropout=0.2)) for _ in range(2)]
    for agent, again in zip(made, (False, True), strict=True):
        agent.learn(source(algorithm), 2, lr=1e-2, batch_size=4, gradient_checkpointing=again)
    assert same_weights(*map(weights, made))
    adapters = [p for name, p in made[1].model.named_parameters() if "lora_B" in name]
    assert adapters and all(p.any() for p in adapters)


def test_added_tokens_are_trained(tmp_path: Path) -> None:
    make_layout("llama", tmp_path / "lm")
    extended = copy.deepcopy(TOKENIZER)
    extended.add_tokens(["<more>"])
    env = make_env()
    env.tokenizer = extended
    lm = LM.from_pretrained(tmp_path / "lm", env, LORA)
    assert lm.lora == LoRAConfig(rank=2, embeddings=True)
    trained = {name for name, p in lm.model.named_parameters() if p.requires_grad and "lora" not in name}
    assert trained == {"model.embed_tokens.weight", "lm_head.weight"}


def test_adapters_come_from_their_seed_alone(tmp_path: Path) -> None:
    before = torch.get_rng_state()
    a, b, c = (make_layout("llama", tmp_path / "lm", lora=LORA, seed=seed).model for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert same_weights(a.state_dict(), b.state_dict()) and not same_weights(a.state_dict(), c.state_dict())
    assert checksum(a) == checksum(c)


def test_layers_can_be_chosen(tmp_path: Path) -> None:
    lm = adapted(tmp_path, "llama", layers=("q_proj", "v_proj"))
    assert {name.split(".")[-4] for name, p in lm.model.named_parameters() if p.requires_grad} == {"q_proj", "v_proj"}
    with pytest.raises(ValueError, match="c_attn"):
        adapted(tmp_path, "llama", layers=("c_attn",))


def test_the_command_trains_adapters(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lm = LM.from_scratch("d64-l2", language_vec("MovieReview-v0", 2))
    lm.model.save_pretrained(tmp_path / "lm")
    lm.tokenizer.save_pretrained(tmp_path / "lm")
    capsys.readouterr()
    run = ["train", "ilql", "--env", "MovieReview-v0", "--steps", "2", "--batch-size", "4", "--lora-rank", "2"]
    more = [
        "--lm",
        str(tmp_path / "lm"),
        "--gradient-checkpointing",
        "--out",
        str(tmp_path / "run"),
        "--decoding-episodes",
        "2",
    ]
    assert cli.main([*run, *more]) == 0
    agent = Agent.load(tmp_path / "run" / "agent")
    assert agent.lm.lora == LORA and agent.fit_config is not None and agent.fit_config.gradient_checkpointing
    assert "attention_mask" not in capsys.readouterr().err
    assert cli.main([*run, "--lm", "d64-l2", "--out", str(tmp_path / "other")]) == 2
    assert "adapts a model that has learned already" in capsys.readouterr().err


def test_what_cannot_be_meant_is_refused_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="rank must be at least 1"):
        LoRAConfig(rank=0)
    with pytest.raises(ValueError, match="dropout must lie in"):
        LoRAConfig(dropout=1.0)
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(ValueError, match=r"pip install 'lang-envs\[lora\]'"):
        adapted(tmp_path)


@pytest.mark.usefixtures("smollm2")
def test_adapters_of_a_real_model_take_megabytes_and_speak_alike(tmp_path: Path) -> None:
    env = language_vec("Dialogue-BLEU-v0", 2, tokenizer="smollm2", max_response_tokens=8)
    agent = BC(LM.from_pretrained("smollm2", env, LORA, dtype="bf16"))
    logs = list(rollout(env, Say("Thank you, good bye.", env.task, env.tokenizer), range(2)))
    agent.learn(Logged(logs), 1, lr=1e-3, batch_size=2, progress=False)
    folder = agent.save(tmp_path / "agent")
    assert sum(file.stat().st_size for file in folder.rglob("*")) < 16e6
    loaded = Agent.load(folder)
    assert loaded.lm.origin is not None and loaded.lm.origin.source == "smollm2"
    played = [list(rollout(env, a.policy(greedy=True), range(2))) for a in (agent, loaded)]
    assert all(np.array_equal(a.tokens, b.tokens) for a, b in zip(*played, strict=True))
