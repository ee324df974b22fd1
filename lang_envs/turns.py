"""The rule by which records, cards and batches tell where an utterance of the agent begins."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def turn_begins(
    taken: NDArray[np.integer[Any]], action: NDArray[np.integer[Any]], end_id: int | None, limit: int | None = None
) -> NDArray[np.bool_]:
    """Whether each of K actions begins a turn, [K].

    A turn ends with the token ``end_id``, before a token of the environment, or with its token number ``limit`` (the
    environment's ``max_utterance_tokens``), because the environment may say nothing after a turn that was cut there.

    Args:
        taken: [K] positions of the actions among the tokens of all episodes. Each episode opens with a token of the
            environment.
        action: [K] the tokens at these positions.
        end_id: the token that ends an utterance; None if it is unknown.
        limit: most tokens of a turn; None if no turn was cut.
    """
    begins = np.ones(len(taken), np.bool_)  # [K]
    begins[1:] = taken[1:] > taken[:-1] + 1
    if end_id is not None:
        begins[1:] |= action[:-1] == end_id
    if limit is not None:
        place = np.arange(len(taken))  # [K]
        begins |= (place - np.maximum.accumulate(place * begins)) % limit == 0
    return begins
