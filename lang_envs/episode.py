"""The record every part exchanges: an episode as tokens, which of them the agent chose, and a reward per token."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Episode:
    """One episode, exactly as it was produced.

    Attributes:
        tokens: int32 [T], never re-tokenised.
        is_action: bool [T], True where the agent chose the token (end tokens included).
        rewards: float32 [T], non-zero only where ``is_action``.
        terminated: the task ended; nothing follows.
        truncated: the episode was cut (context full, turn limit); its last state has a value.
        logprobs: float32 [T] of the behaviour policy, NaN off actions; None where unknown.
        info: JSON-able facts (seed, policy, the task's own).

    Raises:
        ValueError: where the fields contradict each other, saying which and where.
    """

    tokens: NDArray[np.int32]
    is_action: NDArray[np.bool_]
    rewards: NDArray[np.float32]
    terminated: bool
    truncated: bool = False
    logprobs: NDArray[np.float32] | None = None
    info: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Episodes:
    """Many episodes in columns (B episodes, N tokens in all): a ``Sequence[Episode]`` that batching never has to loop over.

    Attributes:
        tokens: int32 [N], the episodes one after another.
        is_action: bool [N].
        rewards: float32 [N].
        offsets: int64 [B + 1]; episode b is ``tokens[offsets[b]:offsets[b + 1]]``.
        terminated: bool [B].
        truncated: bool [B].
        logprobs: float32 [N], NaN where unknown; None where no episode has them.
        info: B dictionaries; may be empty ones where they were not asked for.
    """

    tokens: NDArray[np.int32]
    is_action: NDArray[np.bool_]
    rewards: NDArray[np.float32]
    offsets: NDArray[np.int64]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    logprobs: NDArray[np.float32] | None
    info: list[dict[str, Any]]
