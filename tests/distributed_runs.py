"""Training runs that ``tests/test_distributed.py`` makes twice: in one process, and in two that torchrun starts."""

from __future__ import annotations

import json
import runpy
import sys
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from safetensors.torch import save_file
from toy_agent import Toy, ToyConfig, make_agent, make_env, make_episodes, make_lm, weights

from agents import (
    AGENTS,
    DPO,
    ILQL,
    Agent,
    DPOConfig,
    FitConfig,
    ILQLConfig,
    Live,
    Logged,
    Mixed,
    Swift,
    SwiftConfig,
    fit,
)
from agents.cli import main as command
from agents.distributed import processes
from agents.models.lora import LoRAConfig, add_adapters
from agents.ppo import PPO, PPOConfig
from lang_envs import Episodes

Rows = list[dict[str, float]]
sys.modules["agents.training.fit"].native_bf16 = lambda: True  # elsewhere it is slow, but right


def logged() -> Logged:
    return Logged(make_episodes(18), seed=1)


def live() -> Live:
    return Live(make_env(), seed=2)


def mixed() -> Mixed:
    return Mixed(logged(), live())


def run(agent: Agent, source: Any, steps: int = 3, **settings: Any) -> tuple[Rows, Agent]:
    settings = {"lr": 1e-2, "batch_size": 8, "log_every": 1, "schedule_steps": 6, **settings}
    return list(fit(agent, source, steps, FitConfig(**settings))), agent


def by_name(out: Path, name: str, source: Callable[[], Any]) -> tuple[Rows, Agent]:
    return run(make_agent(name), source(), 2)


def separate() -> Agent:
    return ILQL(make_lm(), ILQLConfig(trunks="separate"))


def adapted(algorithm: str = "ilql") -> Agent:
    lm = make_lm()
    lm.lora = LoRAConfig(rank=2)
    add_adapters(lm.model, lm.lora)
    return make_agent(algorithm, lm)


def masked() -> Agent:
    return PPO(make_lm(), PPOConfig(mask_actions=True, minibatches=7, rollout_tokens=5, kl_target=0.01))


def scores(agent: Agent) -> dict[str, float]:
    """An evaluator that plays, and saves the agent."""
    with TemporaryDirectory() as folder:
        assert Agent.load(agent.save(Path(folder) / "agent")).step == agent.step
    return {"return": float(live().sample(4, agent.policy()).returns.mean())}


RUNS: dict[str, Callable[[Path], tuple[Rows, Agent]]] = {
    **{f"logged {name}": partial(by_name, name=name, source=logged) for name in AGENTS if name != "ppo"},
    **{f"mixed {name}": partial(by_name, name=name, source=mixed) for name in AGENTS},
    "live ppo": lambda out: run(make_agent("ppo"), Live(make_env(8), seed=3), lr=1e-3),
    "live masked ppo": lambda out: run(masked(), live(), lr=1e-3),
    "live swift in odd groups": lambda out: run(Swift(make_lm(), SwiftConfig(group_size=3)), live()),
    "live dpo in odd groups": lambda out: run(DPO(make_lm(), DPOConfig(samples=6, per="turn")), live()),
    "adapters": lambda out: run(adapted(), mixed()),
    "sharded adapters": lambda out: run(adapted(), mixed(), shard=True),
    "new rows and sharded adapters": lambda out: run(adapted("decision_transformer"), mixed(), shard=True),
    "accumulated": lambda out: run(make_agent("ilql"), logged(), accumulate=3),
    "clipped": lambda out: run(make_agent("bc"), logged(), clip_norm=1e-2),
    "bf16": lambda out: run(make_agent("bc"), logged(), bf16=True),
    "sharded bc": lambda out: run(make_agent("bc"), mixed(), shard=True, accumulate=2),
    "sharded ilql": lambda out: run(separate(), mixed(), shard=True, evaluators={"play": scores}, eval_every=2),
    "sharded dpo": lambda out: run(make_agent("dpo"), logged(), shard=True, gradient_checkpointing=True),
    "sharded kto": lambda out: run(make_agent("kto"), mixed(), shard=True, accumulate=2),
    "evaluated": lambda out: run(make_agent("ilql"), mixed(), evaluators={"play": scores}, eval_every=2),
    "begun": lambda out: run(make_agent("ilql"), mixed(), 2, out=out / "begun"),
    "begun sharded": lambda out: run(make_agent("ilql"), mixed(), 2, out=out / "begun sharded", shard=True),
    "gone on with": lambda out: run(make_agent("ilql"), mixed(), 4, out=out / "one"),
    "gone on with sharded": lambda out: run(make_agent("ilql"), mixed(), 4, out=out / "one more", shard=True),
}


MISSING = {"ppo": find_spec("sb3_contrib") is None, "adapters": find_spec("peft") is None}  # extras
RUNS = {name: make for name, make in RUNS.items() if not MISSING.get(name.split()[-1])}


class Broken(Logged):
    """Fails on the second process alone."""

    def sample(self, n: int, policy: Any = None, rows: range | None = None) -> Episodes:
        if rows is not None and rows.start > 0:
            raise OSError("the disk is gone")
        return super().sample(n, policy, rows)


class Infinite(Toy):
    """Has an infinite loss on the second process alone."""

    def loss(self, batch: Any) -> Any:
        loss, parts = super().loss(batch)
        return loss * (1.0 if processes.is_first() else float("inf")), parts


def broken_evaluator(agent: Agent) -> dict[str, float]:
    raise ZeroDivisionError("no games were played")


FAILURES: dict[str, Callable[[], Any]] = {
    "source": lambda: run(make_agent("bc"), Broken(make_episodes(18))),
    "loss": lambda: run(Infinite(make_lm(), ToyConfig()), logged()),
    "evaluator": lambda: run(make_agent("bc"), logged(), evaluators={"play": broken_evaluator}),
    "batch size": lambda: run(make_agent("bc"), logged(), batch_size=5),
    "pairs": lambda: run(make_agent("dpo"), logged(), batch_size=6, accumulate=2),
    "sharded ppo": lambda: run(make_agent("ppo"), live(), shard=True),
}


FAILURES = {name: fails for name, fails in FAILURES.items() if not MISSING.get(name.split()[-1])}


def with_dropout(out: Path, name: str) -> dict[str, torch.Tensor]:
    """Three steps at once, or one and two more."""
    agent = Toy(make_lm(dropout=0.2), ToyConfig())
    for steps in (3,) if name == "whole" else (1, 3):
        agent = Toy(make_lm(dropout=0.2), ToyConfig())
        torch.manual_seed(5 + steps)
        run(agent, mixed(), steps, out=out / name, shard=name.startswith("sharded"))
    return weights(agent)


def main(out: Path) -> None:
    mine = out / f"process {processes.rank()}"
    mine.mkdir()
    for name, make in RUNS.items():
        rows, agent = make(out)
        (mine / f"{name}.json").write_text(json.dumps(rows))
        save_file({k: v.contiguous().clone() for k, v in weights(agent).items()}, mine / f"{name}.safetensors")
        if name == "sharded ilql":
            agent.save(out / "agent")
    agent = separate()
    for _ in fit(agent, mixed(), 2, FitConfig(batch_size=8, log_every=1, shard=True)):
        held = sum(p.to_local().numel() for p in agent.model.parameters())
        agent.save(out / "early")
    said = {"held": str(held / sum(p.numel() for p in agent.model.parameters()))}
    for name, fails in FAILURES.items():
        try:
            fails()
        except (ValueError, OSError, ZeroDivisionError) as error:
            said[name] = f"{type(error).__name__}: {error}"
    for name in ("whole", "in two", "sharded in two"):
        tensors = {k: v.contiguous().clone() for k, v in with_dropout(out, name).items()}
        save_file(tensors, mine / f"dropout {name}.safetensors")
    train = ["train", "bc", "--data", f"{out}/data", "--steps", "2", "--decoding-episodes", "2", "--out"]
    assert command([*train, f"{out}/run", "--batch-size", "8"]) == 0
    said["command"] = f"exit {command([*train, f'{out}/odd', '--batch-size', '7'])}"
    sys.argv = ["distributed", "--steps", "10"]
    runpy.run_path(str(Path(__file__).parents[1] / "examples" / "distributed.py"), run_name="__main__")
    (mine / "failures.json").write_text(json.dumps(said))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
