"""Means with importance weights given as logarithms, because products over long episodes do not fit into a float.

Weights are divided by the largest weight of their column. This changes no self-normalised mean, and no weight overflows
or is cut off. A weight that becomes 0 is at least 1e300 times smaller than the sum it belongs to.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from agents.ope.logged import Floats

Statistic = Callable[[Floats], Floats]
"""from the number of times that each episode counts [S, B] to S estimates"""

_ENOUGH = 1e-200  # relative weight of a sample below which its own largest weight is looked for


def _relative(log_w: Floats) -> Floats:
    """Weights [B, n] divided by the largest of each column; 0 if all weights of the column are 0."""
    top = log_w.max(0)  # [n]
    return np.exp(log_w - np.where(np.isneginf(top), 0.0, top))


def mean_and_error(log_w: Floats) -> tuple[float, float, float]:
    """The mean of weights [B], its standard error, and the logarithm of the mean; the first two may be infinite."""
    top, w = float(log_w.max()), _relative(log_w[:, None])[:, 0]
    if np.isneginf(top):
        return 0.0, 0.0, -np.inf
    error = float(w.std(ddof=1) / np.sqrt(len(w))) if len(w) > 1 else np.inf
    with np.errstate(over="ignore"):
        return float(np.exp(top) * w.mean()), float(np.exp(top) * error), float(top + np.log(w.mean()))


def effective_sizes(log_w: Floats) -> Floats:
    """Effective sample size (sum w)^2 / sum w^2 of each column of weights [B, n]: [n]; 0 if all its weights are 0."""
    w = _relative(log_w)  # [B, n]
    square = (w**2).sum(0)  # [n]
    sizes: Floats = np.divide(w.sum(0) ** 2, square, out=np.zeros_like(square), where=square > 0)
    return sizes


def self_normalised(counts: Floats, log_w: Floats, x: Floats) -> Floats:
    """The mean of x [B, n] with the weights [B, n], in each sample and column: [S, n]; NaN if all weights are 0."""
    w = _relative(log_w)  # [B, n]
    total = counts @ w  # [S, n]
    mean = np.divide(counts @ (w * x), total, out=np.full_like(total, np.nan), where=total > _ENOUGH)
    for sample, column in np.argwhere((total <= _ENOUGH) & w.any(0)):  # the largest weights were not drawn
        drawn = counts[sample] > 0  # [B]
        own = log_w[drawn, column]
        if not np.isneginf(own.max()):
            by = counts[sample, drawn] * np.exp(own - own.max())
            mean[sample, column] = by @ x[drawn, column] / by.sum()
    return mean


def plain_mean(log_w: Floats, x: Floats) -> Statistic:
    """(1 / B) sum_i sum_n w x of weights [B, n] and numbers [B, n]; infinite if it is too large for a float."""
    counted = (x != 0) & ~np.isneginf(log_w)  # [B, n]
    top = log_w[counted].max(initial=-np.inf)
    scaled = (np.exp(np.where(counted, log_w - top, -np.inf)) * x).sum(1) if counted.any() else np.zeros(len(x))  # [B]

    def statistic(counts: Floats) -> Floats:
        mean = counts @ scaled / counts.sum(1)  # [S]
        with np.errstate(over="ignore", divide="ignore"):
            return np.sign(mean) * np.exp(top + np.log(abs(mean))) if counted.any() else mean

    return statistic
