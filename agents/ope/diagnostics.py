"""What is wrong with an off-policy estimate, in words."""

from __future__ import annotations

import numpy as np

from agents.evaluation.stats import Interval
from agents.ope.log_space import mean_and_error
from agents.ope.logged import Floats, Log

_MANY = 10.0  # a mean weight with expectation 1 is at least this large in one of ten cases at most (Markov)


def of_weights(size: float, log_w: Floats, least: float, returns: Interval) -> tuple[str, ...]:
    """What is wrong with the last weights [K] of episodes with this effective sample size."""
    if size == 0:
        return ("hopeless: the policy gives probability 0 to every logged episode",)
    few = f"hopeless: the effective sample size is {size:.1f} of {len(log_w)} episodes, fewer than {least:g}"
    return (*((few,) if size < least else ()), *(of_coverage(log_w, returns) or _of_large(log_w)))


def of_coverage(log_w: Floats, returns: Interval) -> tuple[str, ...]:
    """Whether the log, by its weights [K], holds all that the policy says."""
    mean, error, _ = mean_and_error(log_w)
    if np.isneginf(log_w).all() or not 1 - mean > _clear(error):
        return ()
    return (
        f"the log lacks part of what the policy says: the mean weight is {mean:.2g} instead of 1. The returns of that "
        f"part are unknown, and the intervals allow {returns.low:.3g} to {returns.high:.3g} for them",
    )


def _of_large(log_w: Floats) -> tuple[str, ...]:
    """Whether the mean of the weights [K] is too large."""
    mean, error, log_mean = mean_and_error(log_w)
    if not (mean > _MANY or mean - 1 > _clear(error)):
        return ()
    shown = f"{mean:.3g}" if mean < 1e4 else f"e^{log_mean:.0f}"
    return (
        f"the mean weight is {shown} instead of 1: the log-probabilities of the behaviour are not those of the policy "
        "that played the log (another model, temperature or tokenizer), or a few episodes have almost all the weight",
    )


def _clear(error: float) -> float:
    """How far from 1 a mean weight with this standard error is no accident of the sample."""
    return max(0.01, 3 * error)


def of_unknown(log: Log) -> tuple[str, ...]:
    """Which episodes have no weights, and why."""
    unknown, denied = ~log.known, log.denied  # [B] each
    said, of = [], len(unknown)
    if lacking := int((unknown & ~denied).sum()):
        said.append(f"{lacking} of {of} episodes were left out: their log-probabilities are unknown")
    if denied.any():
        said.append(
            f"{denied.sum()} of {of} episodes were left out: the behaviour policy gives them probability 0, so it did "
            "not play them (a greedy policy has no probabilities but 0 and 1: take one that samples)"
        )
    return tuple(said)


def of_value(value: float, returns: Interval) -> tuple[str, ...]:
    """Whether an estimate can be a return."""
    if np.isinf(value):
        return ("too large for a number: the mean weight is not 1",)
    slack = max(map(abs, returns)) + returns.high - returns.low
    if value < returns.low - slack or value > returns.high + slack:
        return (f"far from every possible return, {returns.low:.3g} to {returns.high:.3g}: the mean weight is not 1",)
    return ()


def of_fitted(value: float, weighted: Interval | None, effective: float, least: float) -> tuple[str, ...]:
    """What is wrong with fitted values, compared with the interval of the weighted estimate if that is usable."""
    if weighted is None or effective < least or np.isnan(weighted.low):
        return ("unchecked: no importance weights are good enough to compare the fitted values with",)
    if weighted.low <= value <= weighted.high:
        return ()
    return (
        f"outside the interval of the weighted estimate, {weighted.low:.3f} to {weighted.high:.3f}: fit Q for more "
        "steps",
    )
