"""Selects episodes of a data set: by their numbers, the best ones, or random parts."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

_ROUNDING = 1e-6  # of float32: a reward of -0.1 is recorded as -0.10000000149


def positions(indices: ArrayLike, count: int) -> NDArray[np.int64]:
    """Turns indices from -count to count - 1 into positions from 0 to count - 1: [n] -> [n].

    Raises:
        IndexError: an index is out of range.
        TypeError: the indices are not integers.
    """
    asked = np.asarray(indices)
    if asked.dtype.kind not in "iu" and asked.size:
        raise TypeError(f"indices must be integers, got {asked.dtype}; turn a mask into them with np.flatnonzero")
    found = asked.astype(np.int64, copy=False).reshape(-1)
    if found.size and (found.min() < 0 or found.max() >= count):
        if found.min() < -count or found.max() >= count:
            raise IndexError(f"indices must lie in [-{count}, {count - 1}], got {asked.min()} to {asked.max()}")
        found = np.where(found < 0, found + count, found)
    return found


def best(returns: NDArray[np.float64], min_return: float | None, top_fraction: float | None) -> NDArray[np.int64]:
    """The positions of the episodes with a return of at least ``min_return``, and of those the best ``top_fraction``.

    Args:
        returns: the returns of the episodes [B].
        min_return: the smallest return; None takes all episodes.
        top_fraction: the fraction that is taken, in (0, 1]; None takes all. Of equal returns the earlier episode counts
            as better.

    Returns:
        Positions in ascending order [n].

    Raises:
        ValueError: no episode is left, or the fraction is not in (0, 1].
    """
    kept = np.arange(len(returns))
    if min_return is not None:
        kept = kept[returns >= min_return - _ROUNDING * max(1, abs(min_return))]
        if not len(kept):
            raise ValueError(f"no episode has a return of at least {min_return}; the best is {returns.max():g}")
    if top_fraction is not None:
        if not 0 < top_fraction <= 1:
            raise ValueError(f"top_fraction must lie in (0, 1], got {top_fraction}")
        count = math.ceil(top_fraction * len(kept))
        first = np.argsort(-returns[kept], kind="stable")[:count]
        kept = np.sort(kept[first])
    return kept


def parts(count: int, sizes: Sequence[float] | Sequence[int], seed: int) -> list[NDArray[np.int64]]:
    """Random positions for each part, in ascending order; no position is in two parts.

    Args:
        count: number of episodes.
        sizes: fractions of the whole, or numbers of episodes if all are integers.
        seed: seed of the random order that is cut into parts.

    Raises:
        ValueError: a part is empty, or there are not enough episodes.
    """
    integers = all(isinstance(size, int | np.integer) for size in sizes)
    if not integers and sum(sizes) > 1 + 1e-9:
        raise ValueError(f"fractions must sum to 1 at most, got {list(sizes)}")
    ends = np.cumsum(sizes) if integers else np.round(np.cumsum(sizes) * count).astype(np.int64)
    counts = np.diff(ends, prepend=0)
    if (counts < 1).any() or ends[-1] > count:
        raise ValueError(f"{list(sizes)} of {count} episodes gives parts of {counts.tolist()}; each needs at least one")
    order = np.random.default_rng(seed).permutation(count)
    return [np.sort(order[end - size : end]) for size, end in zip(counts, ends, strict=True)]
