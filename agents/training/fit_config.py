"""The settings of ``fit``."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from datasets_builders.fields import check_types

Evaluator = Callable[[Any], Mapping[str, float]]
"""a function of the agent in training"""

# Settings that may differ when a run is continued. Only ``schedule_steps`` changes what is learned.
FREE = {
    "schedule_steps", "accumulate", "gradient_checkpointing", "shard", "log_every", "eval_every", "evaluators",
    "checkpoint_every", "out", "tensorboard", "progress",
}  # fmt: skip


@dataclass
class FitConfig:
    """Settings of training. All counts are in optimiser steps."""

    lr: float = 3e-4
    """highest learning rate"""
    head_lr: float = 5.0
    """learning rate of the value heads, as a multiple of ``lr``; above 1 because the heads start untrained"""
    batch_size: int = 64
    """episodes per optimiser step, over all processes"""
    accumulate: int = 1
    """number of parts into which a batch is split to save memory; the gradient is that of the whole batch"""
    betas: tuple[float, float] = (0.9, 0.999)
    """AdamW's decay rates of the averages of the gradient and its square"""
    weight_decay: float = 0.0
    """AdamW's weight decay, on matrices only"""
    clip_norm: float = 1.0
    """largest norm of the gradient; infinity never clips"""
    warmup_steps: int = 0
    """steps over which the learning rate rises from 0"""
    schedule: Literal["linear", "constant"] = "linear"
    """learning rate after the warmup: falls linearly to ``final_lr``, or stays constant"""
    final_lr: float = 0.0
    """last learning rate of the linear schedule, as a fraction of ``lr``"""
    schedule_steps: int | None = None
    """length of the schedule in steps; None: the ``steps`` of the call. Set it if several calls train one run"""
    dropout: bool | None = None
    """use the dropout of the model and its adapters; None: the algorithm's default (``Agent.dropout``)"""
    bf16: bool = False
    """compute in bfloat16 (autocast); weights keep their format, and the optimiser works in float32"""
    gradient_checkpointing: bool = False
    """recompute activations in the backward pass instead of storing them: less memory, about a third more time"""
    shard: bool = False
    """with several processes: each keeps only its part of the weights (FSDP) instead of a copy (DDP)"""
    log_every: int = 50
    """steps between log lines; metrics are means over these steps"""
    eval_every: int | None = None
    """steps between evaluations; there is always one after the last step. None: only that one"""
    evaluators: dict[str, Evaluator] = field(default_factory=dict)
    """name -> function of the agent that returns metrics, logged as ``eval/<name>/<metric>``"""
    checkpoint_every: int | None = None
    """steps between checkpoints; there is always one after the last step. None: only that one"""
    out: str | Path | None = None
    """folder of the log and the checkpoints; None: nothing is written. An interrupted run in this folder is resumed"""
    tensorboard: bool = False
    """also log for TensorBoard in ``out``; needs the package tensorboard"""
    progress: bool = True
    """show progress on standard error: a bar on a terminal, otherwise a line every 30 seconds"""
    seed: int = 0
    """seed of torch's generator for dropout; with several processes each derives its own from it"""

    def __post_init__(self) -> None:
        """Checks the settings.

        Raises:
            ValueError: a setting is out of its range, or of the wrong type.
        """
        check_types(self)
        for name in ("lr", "head_lr", "warmup_steps", "final_lr", "weight_decay"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must be at least 0, not {getattr(self, name)}.")
        for name in ("batch_size", "accumulate", "log_every", "eval_every", "checkpoint_every", "schedule_steps"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, not {value}.")
        if self.clip_norm <= 0:
            raise ValueError(f"clip_norm must be above 0, not {self.clip_norm}; float('inf') never clips.")
        if self.tensorboard and self.out is None:
            raise ValueError("tensorboard=True needs a folder to write to: set out.")
        self.betas = (self.betas[0], self.betas[1])  # JSON has no tuples

    def to_dict(self) -> dict[str, Any]:
        """The settings as JSON-able values; functions are left out."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "evaluators"}
        return values | {"out": None if self.out is None else str(self.out), "betas": list(self.betas)}
