"""A task for N episodes at once, over tokens: the one interface between a task's rules and the vector environment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from lang_envs.task import Task


@dataclass
class Replies:
    """What the environment said to n episodes: ``Reply`` in columns, as tokens."""

    tokens: NDArray[np.int32]  # [n, R] right-padded; R may be 0
    lengths: NDArray[np.int64]  # [n] how many of them are real
    rewards: NDArray[np.float32]  # [n]
    terminated: NDArray[np.bool_]  # [n]
    info: dict[str, NDArray[Any]] = field(default_factory=dict)  # key -> [n]


class Dynamics(Protocol):
    """Holds the states of N episodes and moves those it is asked to."""

    def begin(self, rows: NDArray[np.int64], rngs: Sequence[np.random.Generator]) -> Replies:
        """Starts new episodes in ``rows``; the replies are the opening observations (rewards 0, not terminated)."""
        ...

    def reply(
        self,
        rows: NDArray[np.int64],
        utterances: NDArray[np.int32],  # [n, L] right-padded agent tokens, the end token included where there is one
        lengths: NDArray[np.int64],  # [n]
        rngs: Sequence[np.random.Generator],
    ) -> Replies:
        """Answers one utterance in each of ``rows``."""
        ...

    def state(self, row: int) -> Any:
        """The task's state of one episode, as the value ``Task.reply`` would have returned."""
        ...


class TextDynamics:
    """Any task through its text: decode, ``Task.reply_batch``, encode."""

    def __init__(self, task: Task[Any], tokenizer: PreTrainedTokenizerFast, num_envs: int) -> None:
        self.task, self.tokenizer = task, tokenizer
        self.states: list[Any] = [None] * num_envs
