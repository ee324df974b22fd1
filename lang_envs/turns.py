"""Where one utterance of the agent ends and the next begins: the one rule that records, cards and batches share."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def turn_begins(
    taken: NDArray[np.integer[Any]], action: NDArray[np.integer[Any]], end_id: int | None, limit: int | None = None
) -> NDArray[np.bool_]:
    """Which of K actions begin a turn, [K].

    A turn ends with the token ``end_id``, where the environment speaks, or with its token number ``limit``, the
    environment's ``max_utterance_tokens``: it may keep silent after a turn that was cut there.

    Args:
        taken: [K] positions among the tokens of all episodes; each episode opens with a token of the environment.
        action: [K] the tokens there.
        end_id: ends an utterance; None where it is unknown.
        limit: None where no turn was cut.
    """
    begins = np.ones(len(taken), np.bool_)  # [K]
    begins[1:] = taken[1:] > taken[:-1] + 1
    if end_id is not None:
        begins[1:] |= action[:-1] == end_id
    if limit is not None:
        place = np.arange(len(taken))  # [K]
        begins |= (place - np.maximum.accumulate(place * begins)) % limit == 0
    return begins
