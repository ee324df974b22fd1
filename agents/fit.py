"""The training loop: optimiser steps on episodes from any source, with a log, evaluations and checkpoints.

Several processes (``agents.processes``) run it side by side: every one takes its share of each batch, gradients and
metrics are those of the whole batch, and the first process alone evaluates and writes.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor

from agents import checkpoint, processes
from agents.lm import checkpoint_gradients, native_bf16
from agents.log import open_log, progress_bar
from agents.parallel import parallel, unsharded
from agents.source import Source
from agents.update import adamw, learning_rate

if TYPE_CHECKING:
    from agents.agent import Agent

Evaluator = Callable[["Agent"], Mapping[str, float]]

# What may differ between a run and its continuation: it leaves the weights as they are, or only says when to stop.
FREE = {
    "schedule_steps", "accumulate", "gradient_checkpointing", "shard", "log_every", "eval_every", "evaluators",
    "checkpoint_every", "out", "tensorboard", "progress",
}  # fmt: skip


@dataclass
class FitConfig:
    """How to train. Every count is one of optimiser steps."""

    lr: float = 3e-4
    """learning rate at its highest"""
    batch_size: int = 64
    """episodes in each optimiser step, over all processes"""
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
    gradient_checkpointing: bool = False
    """compute activations again in the backward pass instead of keeping them: less memory, about a third more time"""
    shard: bool = False
    """over several processes: each keeps only its part of the weights (FSDP), which are otherwise copied (DDP)"""
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
    """of torch's generator, from which dropout draws; every process has its own"""

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


def fit(agent: Agent, source: Source, steps: int, config: FitConfig | None = None) -> Iterator[dict[str, float]]:
    """Trains until ``steps`` optimiser steps are made, and yields metrics every ``log_every`` of them and at the end.

    With ``config.out`` the run continues from the newest checkpoint there: ``steps`` counts those already made, and on
    one processor the weights are, bit for bit, those of a run that was never interrupted. Beginning anew needs another
    folder. Metrics: ``step``, ``loss``, the agent's own, ``optim/lr``, ``optim/grad_norm`` (before clipping),
    ``data/return`` (mean return of the episodes seen), ``time/steps_per_second``, and ``eval/...``.

    Started by ``torchrun`` the processes find each other here, and the agent moves to this one's graphics card.

    Raises:
        ValueError: if ``steps`` is below 1, if the loss or the gradient is not finite (with the step and the metrics),
            if the source's tokens are not the agent's, if the checkpoint in ``out`` is damaged or of another run, or if
            a batch cannot be shared among the processes.
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1, not {steps}.")
    config = config or FitConfig()
    processes.join()
    if config.batch_size % processes.count():
        raise ValueError(
            f"A batch of {config.batch_size} episodes has no equal shares for {processes.count()} processes. Make "
            "batch_size a multiple of their number."
        )
    agent.fit_config = config
    source = agent.prepare(source)
    source.check_tokenizer(agent.lm.tokenizer)
    checkpoint_gradients(agent.model, config.gradient_checkpointing)
    if processes.count() > 1:
        agent.network.to(processes.device())
    out = None if config.out is None else Path(config.out)
    found = None if out is None else checkpoint.newest(out / "checkpoints")
    start = 0 if found is None else _resume(found, agent, source, config, steps)
    if len(set(starts := processes.gathered(start))) > 1:
        raise ValueError(f"The processes would continue from steps {starts}: all must see the same folder {out}.")
    torch.manual_seed(_dropout_seed(config, start))
    total = config.schedule_steps or steps
    window: list[dict[str, Tensor]] = []
    with ExitStack() as stack:
        agent.parallel = stack.enter_context(parallel(agent, config.shard))
        stack.callback(setattr, agent, "parallel", None)
        optimizer = adamw(agent.network, config)
        if found is not None:
            checkpoint.load_training(found, agent.network, optimizer)
        first = processes.is_first()
        write = open_log(config.out if first else None, config.tensorboard, start, stack)
        advance = progress_bar(config.progress and first, start, steps, stack)
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


def _evaluate(agent: Agent, config: FitConfig) -> dict[str, float]:
    """Runs the evaluators on the first process; what they draw from torch's generators leaves training as it was."""
    if not config.evaluators:
        return {}
    assert agent.parallel is not None  # set by the loop
    device = agent.model.device

    def evaluate() -> dict[str, float]:
        with torch.random.fork_rng([device] if device.type == "cuda" else []), torch.no_grad():
            return {
                f"eval/{name}/{metric}": float(value)
                for name, evaluator in config.evaluators.items()
                for metric, value in evaluator(agent).items()
            }

    with unsharded(agent.parallel):
        return processes.first_does(evaluate)


def _means(window: list[dict[str, Tensor]]) -> dict[str, float]:
    """Of each metric over the steps that have it."""
    names = dict.fromkeys(name for metrics in window for name in metrics)
    return {name: float(torch.stack([m[name].float().cpu() for m in window if name in m]).mean()) for name in names}


def _state(agent: Agent, source: Source, config: FitConfig) -> dict[str, Any]:
    """What a continuation needs beside the tensors, and what makes sure that it is one."""
    fixed = {name: value for name, value in config.to_dict().items() if name not in FREE}
    run = {"agent": {"algorithm": agent.name, **dataclasses.asdict(agent.config)}, "fit": fixed}
    if agent.lm.lora is not None:  # checkpoints lack what adapters leave as it is
        run["lora"] = {**dataclasses.asdict(agent.lm.lora), "weights": agent.adapted}
    return {"agent_step": agent.step, "source": source.state_dict(), "run": run}


def _dropout_seed(config: FitConfig, start: int) -> int:
    """Of this process's dropout where no checkpoint knows better: the seed itself in a run's first process."""
    if processes.is_first() and start == 0:
        return config.seed
    return int(np.random.SeedSequence((config.seed, processes.rank(), start)).generate_state(1)[0])


def _resume(found: Path, agent: Agent, source: Source, config: FitConfig, steps: int) -> int:
    """Restores weights and source from a checkpoint and returns its step; the optimiser comes when it is made."""
    state = checkpoint.read_state(found)
    ours = json.loads(json.dumps(_state(agent, source, config)["run"]))
    checkpoint.check_same_run(found, state["run"], ours)
    if state["step"] > steps:
        raise ValueError(
            f"The run in {found.parents[1]} has made {state['step']} steps, more than the {steps} asked for. `steps` "
            "counts those already made; a new run needs another folder."
        )
    source.load_state_dict(state["source"])
    checkpoint.load_weights(found, agent.network)
    agent.step = state["agent_step"]
    return state["step"]
