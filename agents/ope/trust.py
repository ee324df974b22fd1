"""Warnings about off-policy estimates, in words."""

from __future__ import annotations

import numpy as np

from agents.evaluation.stats import Interval
from agents.ope.log_space import mean_and_error
from agents.ope.logged import Floats, Log

_MANY = 10.0  # a weight with expectation 1 has a mean this large with a probability of at most 1 / _MANY (Markov)


def of_weights(size: float, log_w: Floats, least: float, returns: Interval) -> tuple[str, ...]:
    """Warnings about the last weights [K] of episodes, whose effective sample size is ``size``."""
    said, used = [], len(log_w)
    mean, error, log_mean = mean_and_error(log_w)
    if size == 0:
        return ("hopeless: the policy has probability 0 for every episode of the log",)
    if size < least:
        said.append(f"hopeless: the weights leave {size:.1f} effective episodes of {used}, fewer than {least:g}")
    clear = max(0.01, 3 * error)  # a larger distance from 1 is unlikely to be chance
    if 1 - mean > clear:
        said.append(
            f"the log does not hold all that the policy may say: the weights average {mean:.2g} and not 1. The returns "
            f"of the rest are unknown; intervals assume {returns.low:.3g} to {returns.high:.3g}"
        )
    elif mean > _MANY or mean - 1 > clear:
        shown = f"{mean:.3g}" if mean < 1e4 else f"e^{log_mean:.0f}"
        said.append(
            f"the weights average {shown} and not 1: the behaviour's log-probabilities are not those of the policy "
            "that played the log (another model, temperature or tokenizer), or a few episodes have all the weight"
        )
    return tuple(said)


def of_unknown(log: Log) -> tuple[str, ...]:
    """Warnings about episodes that have no weight, because their log-probabilities are unknown."""
    unknown, denied = ~log.known, log.denied  # [B] each
    said, of = [], len(unknown)
    if lacking := int((unknown & ~denied).sum()):
        said.append(f"{lacking} of {of} episodes were left out: they have no log-probabilities")
    if denied.any():
        said.append(
            f"{denied.sum()} of {of} episodes were left out: the policy named as the behaviour never says what they "
            "hold, so it did not play them (a greedy policy has only probabilities 0 and 1: name one that samples)"
        )
    return tuple(said)


def of_value(value: float, returns: Interval) -> tuple[str, ...]:
    """Warnings about an estimate that cannot be a return."""
    if np.isinf(value):
        return ("too large for a number: its weights do not add up to 1",)
    slack = max(map(abs, returns)) + returns.high - returns.low
    if value < returns.low - slack or value > returns.high + slack:
        return (f"far from every return, {returns.low:.3g} to {returns.high:.3g}: its weights do not add up to 1",)
    return ()


def of_fitted(value: float, weighted: Interval | None, effective: float, least: float) -> tuple[str, ...]:
    """Warnings about fitted values: they are compared with the weighted estimate if that is reliable."""
    if weighted is None or effective < least or np.isnan(weighted.low):
        return ("the fitted values cannot be checked: no importance-weighted estimate is reliable here",)
    if weighted.low <= value <= weighted.high:
        return ()
    return (
        f"outside the weighted estimate's interval, {weighted.low:.3f} to {weighted.high:.3f}: fit Q for more steps",
    )
