"""Checks that a reward gives one finite number for each text."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def checked(rewards: ArrayLike, count: int) -> NDArray[np.float64]:
    """The numbers that a reward gave [n], in double precision.

    Raises:
        ValueError: the reward did not give one finite number for each reply.
    """
    found = np.asarray(rewards, np.float64)
    if found.shape != (count,) or not np.isfinite(found).all():
        raise ValueError(f"the reward must give one finite number for each of {count} replies, got {found!r}")
    return found
