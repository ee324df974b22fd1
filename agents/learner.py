"""The interface that the training loop needs of an algorithm; every ``Agent`` has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import torch
from torch import Tensor

from agents.data.batch import Batch
from agents.data.source import Source
from agents.models.lm import LM

if TYPE_CHECKING:
    from agents.training.fit_config import FitConfig
    from lang_envs.rollout import Policy


class Learner(Protocol):
    """An algorithm in training; :class:`agents.agent.Agent` explains each attribute and method."""

    name: ClassVar[str]
    dropout: ClassVar[bool]
    config: Any
    lm: LM
    model: Any
    step: int
    adapted: int | None
    fit_config: FitConfig | None
    parallel: torch.nn.Module | None

    @property
    def network(self) -> torch.nn.Module:
        """The module that is trained and saved in checkpoints."""
        ...

    @property
    def needs_returns(self) -> bool:
        """Whether a log without rewards raises an error."""
        ...

    def prepare(self, source: Source) -> Source:
        """The source to train on, made from ``source``."""
        ...

    def before_loss(self, batch: Batch) -> None:
        """Called with a whole batch, before the loss of its parts."""
        ...

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a batch, and the metrics to log."""
        ...

    def update(self, source: Source, optimizer: torch.optim.Optimizer, step: int, total: int) -> dict[str, Tensor]:
        """One optimiser step -> metrics."""
        ...

    def after_step(self, step: int) -> None:
        """Called after every optimiser step."""
        ...

    def policy(self) -> Policy:
        """A policy that plays with the model's weights at each moment."""
        ...
