"""Dynamics: the interface between a task's rules and the vector environment, for N episodes at once, over tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass
class Replies:
    """The replies of the environment to n episodes: the fields of ``Reply`` in columns, with tokens for texts."""

    tokens: NDArray[np.int32]  # [n, R] right-padded; R may be 0
    lengths: NDArray[np.int64]  # [n] how many of the R tokens are real
    rewards: NDArray[np.float32]  # [n]
    terminated: NDArray[np.bool_]  # [n]
    info: dict[str, NDArray[Any]] = field(default_factory=dict)  # key -> [n]


class Dynamics(Protocol):
    """Holds the states of N episodes and changes those of the rows that a call names."""

    def begin(
        self, rows: NDArray[np.int64], rngs: Sequence[np.random.Generator], contexts: Sequence[int | None] = ()
    ) -> Replies:
        """Starts new episodes in ``rows``; the replies are the opening observations (rewards 0, not terminated).

        ``contexts`` has the starting point for each row; it is empty if the task has no ``num_contexts``.
        """
        ...

    def reply(
        self,
        rows: NDArray[np.int64],
        utterances: NDArray[np.int32],  # [n, L] right-padded tokens of the agent, the end token included if it was said
        lengths: NDArray[np.int64],  # [n]
        rngs: Sequence[np.random.Generator],
    ) -> Replies:
        """Answers one utterance in each of ``rows``."""
        ...

    def state(self, row: int) -> Any:
        """The task's state of one episode, as the value ``Task.reply`` would have returned."""
        ...


def pad(
    tokens: Sequence[Sequence[int] | NDArray[np.int32]], pad_id: int
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Stacks lists of tokens into one array: tokens [n, longest] right-padded, and lengths [n]."""
    lengths = np.fromiter(map(len, tokens), np.int64, len(tokens))
    padded = np.full((len(tokens), int(lengths.max(initial=0))), pad_id, np.int32)
    if padded.size:
        padded[np.arange(padded.shape[1]) < lengths[:, None]] = np.concatenate(
            [np.asarray(t, np.int32) for t in tokens]
        )
    return padded, lengths
