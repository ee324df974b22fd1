"""The training loop: optimiser steps on episodes from any source, with a log, evaluations and checkpoints."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from agents import checkpoint
from agents.batch import collate
from agents.lm import native_bf16
from agents.log import open_log, progress_bar
from agents.source import Source

if TYPE_CHECKING:
    from agents.agent import Agent

Evaluator = Callable[["Agent"], Mapping[str, float]]

# What may differ between a run and its continuation: it leaves the weights as they are, or only says when to stop.
FREE = {
    "schedule_steps", "accumulate", "log_every", "eval_every", "evaluators", "checkpoint_every", "out", "tensorboard",
    "progress",
}  # fmt: skip


@dataclass
class FitConfig:
    """How to train. Every count is one of optimiser steps."""

    lr: float = 3e-4
    """learning rate at its highest"""
    batch_size: int = 64
    """episodes in each optimiser step"""
    accumulate: int = 1
    """parts a batch is worked through in, to save memory; the gradient is that of the whole batch"""
    betas: tuple[float, float] = (0.9, 0.999)
    """AdamW's averaging of the gradient and of its square"""
    weight_decay: float = 0.0
    """AdamW's, on matrices only"""
    clip_norm: float = 1.0
    """largest norm of the gradient; infinity never clips"""
    warmup_steps: int = 0
    """steps over which the learning rate rises from 0"""
    schedule: Literal["linear", "constant"] = "linear"
    """what the learning rate does after that: falls to ``final_lr``, or stays"""
    final_lr: float = 0.0
    """where the linear schedule ends, as a fraction of ``lr``"""
    schedule_steps: int | None = None
    """length of the schedule; None takes the ``steps`` of the call. Say it where a run is made in pieces"""
    bf16: bool = False
    """compute in bfloat16 (autocast); weights and optimiser stay in float32"""
    log_every: int = 50
    """steps between metrics, which are means over those steps"""
    eval_every: int | None = None
    """steps between evaluations; None evaluates once, at the end"""
    evaluators: dict[str, Evaluator] = field(default_factory=dict)
    """name -> function of the agent that returns metrics; they are logged as ``eval/<name>/<metric>``"""
    checkpoint_every: int | None = None
    """steps between checkpoints; None writes one at the end"""
    out: str | Path | None = None
    """folder of the log and the checkpoints; None writes nothing. A run interrupted there is continued"""
    tensorboard: bool = False
    """also log for TensorBoard, in ``out``; needs the package tensorboard"""
    progress: bool = True
    """show a progress bar, where standard error is a terminal"""
    seed: int = 0
    """of torch's generator, from which dropout draws"""

    def __post_init__(self) -> None:
        """Checks the settings.

        Raises:
            ValueError: in words, for a setting that cannot be meant.
        """
        for name in ("batch_size", "accumulate", "log_every", "eval_every", "checkpoint_every", "schedule_steps"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, not {value}.")
        if self.schedule not in ("linear", "constant"):
            raise ValueError(f"schedule must be 'linear' or 'constant', not {self.schedule!r}.")
        if self.clip_norm <= 0:
            raise ValueError(f"clip_norm must be above 0, not {self.clip_norm}; float('inf') never clips.")
        if self.bf16 and not native_bf16():
            raise ValueError(
                "This processor does not compute in bfloat16 natively, and would be slower. Set bf16=False."
            )
        if self.tensorboard and self.out is None:
            raise ValueError("tensorboard=True needs a folder to write to: set out.")
        self.betas = (self.betas[0], self.betas[1])  # JSON has no tuples

    def to_dict(self) -> dict[str, Any]:
        """The settings as JSON-able values; functions are left out."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "evaluators"}
        return values | {"out": None if self.out is None else str(self.out), "betas": list(self.betas)}


def learning_rate(config: FitConfig, step: int, total: int) -> float:
    """The learning rate of optimiser step ``step`` (from 1) of ``total``: a straight way up, then one down."""
    if step <= config.warmup_steps:
        return config.lr * step / config.warmup_steps
    if config.schedule == "constant":
        return config.lr
    done = min(1.0, (step - 1 - config.warmup_steps) / max(1, total - config.warmup_steps))
    return config.lr * (1 - done * (1 - config.final_lr))


def fit(agent: Agent, source: Source, steps: int, config: FitConfig | None = None) -> Iterator[dict[str, float]]:
    """Trains until ``steps`` optimiser steps are made, and yields metrics every ``log_every`` of them and at the end.

    With ``config.out`` the run continues from the newest checkpoint there: ``steps`` counts those already made, and on
    one processor the weights are, bit for bit, those of a run that was never interrupted. Beginning anew needs another
    folder. Metrics: ``step``, ``loss``, the agent's own, ``optim/lr``, ``optim/grad_norm`` (before clipping),
    ``data/return`` (mean return of the episodes seen), ``time/steps_per_second``, and ``eval/...``.

    Raises:
        ValueError: if ``steps`` is below 1, if the loss or the gradient is not finite (with the step and the metrics),
            if the source's tokens are not the agent's, or if the checkpoint in ``out`` is damaged or of another run.
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1, not {steps}.")
    config = config or FitConfig()
    agent.fit_config = config
    source = agent.prepare(source)
    source.check_tokenizer(agent.lm.tokenizer)
    torch.manual_seed(config.seed)
    optimizer = _optimizer(agent.network, config)
    out = None if config.out is None else Path(config.out)
    start = 0 if out is None else _resume(out, agent, source, optimizer, config, steps)
    total = config.schedule_steps or steps
    window: list[dict[str, Tensor]] = []
    with ExitStack() as stack:
        write = open_log(config.out, config.tensorboard, start, stack)
        advance = progress_bar(config.progress, start, steps, stack)
        began = time.perf_counter()
        for step in range(start + 1, steps + 1):
            lr = learning_rate(config, step, total)
            for group in optimizer.param_groups:
                group["lr"] = lr
            window.append(agent.update(source, optimizer, step, total))
            agent.after_step(agent.step + 1)

            def due(every: int | None, step: int = step) -> bool:
                return step == steps or (every is not None and step % every == 0)

            row: dict[str, float] = {}
            evaluation = _evaluate(agent, config) if due(config.eval_every) else {}
            if evaluation or due(config.log_every):
                rate = len(window) / (time.perf_counter() - began)
                row = {"step": step, **_means(window), "optim/lr": lr, "time/steps_per_second": rate, **evaluation}
                write(row)
                window.clear()
            if out is not None and due(config.checkpoint_every):
                checkpoint.save(out / "checkpoints", step, agent.network, optimizer, _state(agent, source, config))
            advance(step, row)
            if row:
                yield row
                began = time.perf_counter()


def update(
    agent: Agent, source: Source, optimizer: torch.optim.Optimizer, config: FitConfig, step: int
) -> dict[str, Tensor]:
    """One optimiser step on ``batch_size`` episodes -> its metrics."""
    model, device = agent.model, agent.model.device
    episodes = source.sample(config.batch_size, agent.policy() if source.needs_policy else None)
    batch = collate(episodes, agent.lm.pad_id, agent.lm.end_id, agent.lm.max_utterance_tokens)
    actions = batch.mask.sum().clamp(min=1)
    metrics: dict[str, Tensor] = {}
    optimizer.zero_grad()
    model.train()
    for part in batch.split(config.accumulate) if config.accumulate > 1 else [batch]:
        share = float(part.mask.sum() / actions)  # a mean over all actions is the shares' sum of means
        with torch.autocast(device.type, torch.bfloat16, enabled=config.bf16):
            loss, parts = agent.loss(part.to(device))
        for name, value in {"loss": loss.detach(), **parts}.items():
            metrics[name] = metrics.get(name, 0) + share * value.float()
        _check_finite("loss", loss.detach(), step, metrics)
        (share * loss).backward()
    model.eval()  # a live source and whoever reads the metrics play with it
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    metrics["optim/grad_norm"] = torch.nn.utils.clip_grad_norm_(parameters, config.clip_norm)
    _check_finite("norm of the gradient", metrics["optim/grad_norm"], step, metrics)
    optimizer.step()
    return metrics | {"data/return": torch.tensor(episodes.returns.mean())}


def _check_finite(what: str, value: Tensor, step: int, metrics: dict[str, Tensor]) -> None:
    if not torch.isfinite(value):
        shown = ", ".join(f"{name} {float(metric):.4g}" for name, metric in metrics.items())
        raise ValueError(
            f"The {what} is {float(value)} at step {step} ({shown}); the weights are those of step {step - 1}. "
            "Try a lower lr, a smaller clip_norm, more warmup_steps, or bf16=False."
        )


def _optimizer(model: torch.nn.Module, config: FitConfig) -> torch.optim.Optimizer:
    """AdamW; biases, norms and other vectors do not decay."""
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
    fused = all(p.device.type in ("cpu", "cuda") for p in trained)
    return torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, fused=fused)


def _evaluate(agent: Agent, config: FitConfig) -> dict[str, float]:
    """Runs the evaluators; what they draw from torch's generators leaves training as it was."""
    if not config.evaluators:
        return {}
    device = agent.model.device
    with torch.random.fork_rng([device] if device.type == "cuda" else []), torch.no_grad():
        return {
            f"eval/{name}/{metric}": float(value)
            for name, evaluator in config.evaluators.items()
            for metric, value in evaluator(agent).items()
        }


def _means(window: list[dict[str, Tensor]]) -> dict[str, float]:
    """Of each metric over the steps that have it."""
    names = dict.fromkeys(name for metrics in window for name in metrics)
    return {name: float(torch.stack([m[name].float().cpu() for m in window if name in m]).mean()) for name in names}


def _state(agent: Agent, source: Source, config: FitConfig) -> dict[str, Any]:
    """What a continuation needs beside the tensors, and what makes sure that it is one."""
    fixed = {name: value for name, value in config.to_dict().items() if name not in FREE}
    run = {"agent": {"algorithm": agent.name, **dataclasses.asdict(agent.config)}, "fit": fixed}
    return {"agent_step": agent.step, "source": source.state_dict(), "run": run}


def _resume(
    out: Path, agent: Agent, source: Source, optimizer: torch.optim.Optimizer, config: FitConfig, steps: int
) -> int:
    """Restores the newest checkpoint under ``out`` and returns its step; 0 where there is none."""
    found = checkpoint.newest(out / "checkpoints")
    if found is None:
        return 0
    state = checkpoint.read_state(found)
    ours = json.loads(json.dumps(_state(agent, source, config)["run"]))
    checkpoint.check_same_run(found, state["run"], ours)
    if state["step"] > steps:
        raise ValueError(
            f"The run in {out} has made {state['step']} steps, more than the {steps} asked for. `steps` counts those "
            "already made; a new run needs another folder."
        )
    source.load_state_dict(state["source"])
    checkpoint.load(found, agent.network, optimizer)
    agent.step = state["agent_step"]
    return state["step"]
