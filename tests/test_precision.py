"""Weights in bfloat16: what is rounded, training as good as in float32, and resuming bit for bit."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from test_layouts import make_layout
from toy_agent import OFFLINE, make_agent, make_env, make_episodes, needs_sb3, same_weights, weights

import agents.training.fit
from agents import AGENTS, LM, Agent, FitConfig, ILQLConfig, Live, Logged, LoRAConfig, Mixed, fit
from agents.distributed import processes
from agents.models.heads import Heads
from agents.training.fit import make_steps
from agents.training.optimizer import COPY, AdamW
from lang_envs import rollout

LOW, FULL = torch.bfloat16, torch.float32
EVERY = pytest.mark.parametrize("algorithm", [pytest.param(name, marks=needs_sb3(name)) for name in AGENTS])


def lm(tmp_path: Path, layout: str = "llama", **options: Any) -> LM:
    return make_layout(layout, tmp_path / "lm", **options)


def source(algorithm: str) -> Any:
    log = Logged(make_episodes(12), seed=1)
    return log if algorithm in OFFLINE else Mixed(log, Live(make_env()), logged_fraction=0.5)


def curve(agent: Agent, steps: int = 200) -> torch.Tensor:
    """The loss in each 25 steps."""
    config = FitConfig(lr=2e-4, batch_size=16, schedule="constant", log_every=25, progress=False)
    return torch.tensor([row["loss"] for row in fit(agent, Logged(make_episodes(64), seed=1), steps, config)])


def test_training_is_as_good_as_in_float32_and_plain_steps_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full, low = (curve(AGENTS["bc"](lm(tmp_path, dtype=dtype))) for dtype in ("fp32", "bf16"))

    def plain(network: Any, config: FitConfig) -> torch.optim.Optimizer:
        group = {"params": list(network.parameters()), "times": 1.0}
        return torch.optim.AdamW([group], lr=config.lr, betas=config.betas, weight_decay=config.weight_decay)

    monkeypatch.setattr(agents.training.fit, "adamw", plain)
    worse = curve(AGENTS["bc"](lm(tmp_path, dtype="bf16")))
    learned = full[0] - full[-1]
    assert (low - full).abs().max() < 0.02 * learned
    assert worse[-1] - full[-1] > 0.1 * learned


@EVERY
def test_every_agent_learns_and_goes_on_bit_for_bit(algorithm: str, tmp_path: Path) -> None:
    def made() -> Agent:
        return make_agent(algorithm, lm(tmp_path, "gpt2", dtype="bf16"))

    settings: dict[str, Any] = {"lr": 1e-2, "batch_size": 4, "schedule_steps": 4}
    whole = made().learn(source(algorithm), 4, **settings)
    made().learn(source(algorithm), 2, **settings, out=tmp_path / "run")
    resumed = made().learn(source(algorithm), 4, **settings, out=tmp_path / "run")
    assert same_weights(weights(whole), weights(resumed))
    state = load_file(tmp_path / "run" / "checkpoints" / "step-000000004" / "optimizer.safetensors")
    copies = [name for name in state if name.endswith(COPY)]
    assert copies and {t.dtype for name, t in state.items() if "generator" not in name} == {FULL}
    heads = {p for m in whole.network.modules() if isinstance(m, Heads) for p in m.parameters()}
    assert all(p.dtype is (FULL if p in heads else LOW) for p in whole.network.parameters())


def test_the_copy_is_what_is_trained_and_the_weights_are_its_rounding() -> None:
    weight = torch.nn.Parameter(torch.ones(3, dtype=LOW))
    beside = torch.nn.Parameter(torch.ones(3))
    optimizer = AdamW([{"params": [weight, beside]}], lr=1e-3, weight_decay=0.0)
    for _ in range(10):
        for p in (weight, beside):
            p.grad = torch.ones_like(p)
        optimizer.step()
    copy = optimizer.state[weight][COPY]
    torch.testing.assert_close(copy, torch.full((3,), 0.99))
    assert torch.equal(copy, beside) and torch.equal(weight, copy.to(LOW)) and weight.dtype is LOW
    assert weight.grad is None and COPY not in optimizer.state[beside]


def test_adapters_are_in_float32_above_weights_that_are_not(tmp_path: Path) -> None:
    agent = make_agent("ilql", lm(tmp_path, dtype="bf16", lora=LoRAConfig(rank=2)))
    for name, p in agent.model.named_parameters():
        assert p.dtype is (FULL if "lora" in name or name.split(".")[0] in ("q", "v", "target_q") else LOW)
    buffers = {b.dtype for _, b in agent.model.named_buffers() if b.is_floating_point()}
    assert buffers == {FULL}  # tables of rotary positions
    agent.learn(source("ilql"), 2, lr=1e-2, batch_size=4)
    loaded = Agent.load(agent.save(tmp_path / "agent"))
    assert same_weights(weights(loaded), weights(agent))
    assert {n: p.dtype for n, p in loaded.model.named_parameters()} == {
        n: p.dtype for n, p in agent.model.named_parameters()
    }


@pytest.mark.parametrize("algorithm", ["bc", "ilql", "dpo"])
def test_an_agent_is_opened_as_it_was_trained_or_as_asked(algorithm: str, tmp_path: Path) -> None:
    agent = make_agent(algorithm, lm(tmp_path, dtype="bf16")).learn(source(algorithm), 2, lr=1e-2, batch_size=4)
    folder = agent.save(tmp_path / "agent")
    loaded, full = Agent.load(folder), Agent.load(folder, dtype="fp32")
    assert same_weights(weights(loaded), weights(agent))
    assert {p.dtype for p in full.model.parameters()} == {FULL}
    assert same_weights({n: t.float() for n, t in weights(agent).items()}, weights(full))
    played = [list(rollout(make_env(), a.policy(), range(4))) for a in (agent, loaded)]
    assert all((a.tokens == b.tokens).all() for a, b in zip(*played, strict=True))
    assert Agent.load(full.save(tmp_path / "full"), dtype="bf16").model.dtype is LOW


@pytest.mark.parametrize("q_head", ["full", "low_rank", "tied"])
def test_values_are_in_float32(q_head: Any, tmp_path: Path) -> None:
    agent = AGENTS["ilql"](lm(tmp_path, dtype="bf16"), ILQLConfig(q_head=q_head))
    agent.learn(source("ilql"), 2, lr=1e-2, batch_size=4)
    with torch.no_grad():
        scores = agent.model(torch.arange(6)[None]).logits
    assert scores.dtype is FULL and scores.isfinite().all()


def test_what_cannot_be_trained_is_refused_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="dtype must be 'fp32' or 'bf16', not 'fp16'"):
        lm(tmp_path, dtype="fp16")
    apart = AGENTS["ilql"](lm(tmp_path, dtype="bf16"), ILQLConfig(trunks="separate"))
    with pytest.raises(ValueError, match="less than bfloat16 can hold: set trunks='shared'"):
        apart.learn(source("ilql"), 1)
    adapters = lm(tmp_path, dtype="bf16", lora=LoRAConfig(rank=2))
    AGENTS["ilql"](adapters, ILQLConfig(trunks="separate")).learn(source("ilql"), 1, batch_size=4)
    monkeypatch.setattr(processes, "count", lambda: 2)
    with pytest.raises(ValueError, match="trained by one process"):
        next(make_steps(AGENTS["bc"](lm(tmp_path, dtype="bf16")), source("bc"), 1, FitConfig(batch_size=4)))
