"""Statistics of a few training runs.

A score matrix has one row per training run and one column per task, ``scores [R, K]``; a vector is one task. The
bootstrap resamples runs, never evaluation episodes: two evaluations of one network are not two results.

Source: Agarwal et al., "Deep Reinforcement Learning at the Edge of the Statistical Precipice", NeurIPS 2021
(arXiv 2108.13264): interquartile mean (section 4.3), stratified bootstrap intervals (section 4.1), probability of
improvement (section 4.3).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


class Interval(NamedTuple):
    """A range of values; both ends are NaN where it is not defined."""

    low: float
    high: float


class Summary(NamedTuple):
    """One line of a table."""

    mean: float
    error: float
    """standard error of the mean, NaN for a single run"""
    interval: Interval
    runs: int


def _matrix(scores: ArrayLike, name: str = "scores") -> Floats:
    """The scores as [R, K], checked."""
    matrix = np.asarray(scores, dtype=np.float64)
    matrix = matrix[:, None] if matrix.ndim == 1 else matrix  # [R, K]
    if matrix.ndim != 2 or matrix.size == 0:
        raise ValueError(
            f"{name} must be runs, or runs x tasks, with at least one of each, got the shape {np.shape(scores)}."
        )
    if not np.isfinite(matrix).all():
        raise ValueError(f"{name} must be finite numbers; drop the failed runs, and report that, before summarising.")
    return matrix


def mean(scores: Floats) -> Any:
    """Mean of scores [..., R, K] over runs and tasks: [...]."""
    return np.mean(scores, axis=(-2, -1))


def iqm(scores: Floats) -> Any:
    """Interquartile mean of scores [..., R, K]: the mean of the middle half of all R * K values, [...].

    Like ``scipy.stats.trim_mean(x, 0.25)``: ``floor(R * K / 4)`` values are dropped at either end.
    """
    flat = np.sort(scores.reshape(*scores.shape[:-2], -1), axis=-1)  # [..., R * K]
    cut = flat.shape[-1] // 4
    return flat[..., cut : flat.shape[-1] - cut].mean(axis=-1)


def standard_error(scores: ArrayLike) -> float:
    """Standard error of the mean of scores [R]; NaN for one run, whose spread is unknown."""
    values = _matrix(scores)[:, 0]  # [R]
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")


def bootstrap_interval(
    scores: ArrayLike,
    rng: np.random.Generator,
    statistic: Callable[[Floats], Any] = mean,
    resamples: int = 2000,
    level: float = 0.95,
    together: bool = False,
) -> Interval:
    """Percentile interval of a statistic by stratified bootstrap: runs are resampled within each task separately.

    If run r of every task starts from the same weights, its K results are not independent: use ``together``.

    With few runs the interval is too narrow, because it cannot leave the range of the runs. With three runs of one task
    it covers the true value about three times in four, not 95 times in 100. Read it as the spread of the runs.

    Args:
        scores: [R] or [R, K].
        rng: generator of the resamples.
        statistic: maps [..., R, K] to [...].
        resamples: number of bootstrap samples.
        level: level of confidence.
        together: resample whole rows of ``scores``, the same for all tasks.

    Returns:
        The interval; NaN at both ends for a single run.
    """
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}; 0.95 is usual.")
    matrix = _matrix(scores)  # [R, K]
    runs, tasks = matrix.shape
    if runs < 2:
        return Interval(float("nan"), float("nan"))
    rows = rng.integers(runs, size=(resamples, runs, 1 if together else tasks))  # [S, R, 1 or K]
    values = statistic(matrix[rows, np.arange(tasks)])  # [S]
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


def probability_of_improvement(ours: ArrayLike, theirs: ArrayLike) -> float:
    """P(a run of the first beats a run of the second), averaged over tasks; a tie counts 1/2 (Mann-Whitney's U)."""
    a, b = _matrix(ours, "ours"), _matrix(theirs, "theirs")  # [R, K], [R', K]
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"Both must have the same tasks, got {a.shape[1]} and {b.shape[1]} of them.")
    wins = (a[:, None] > b[None]) + 0.5 * (a[:, None] == b[None])  # [R, R', K]
    return float(wins.mean())


def summarise(scores: ArrayLike, rng: np.random.Generator) -> Summary:
    """Mean, standard error and 95 % interval of the runs [R] of one task."""
    matrix = _matrix(scores)
    return Summary(float(matrix.mean()), standard_error(scores), bootstrap_interval(scores, rng), len(matrix))
