"""What is wrong with an off-policy estimate, in words."""

from __future__ import annotations

import numpy as np

from agents.evaluation.stats import Interval
from agents.ope.log_space import mean_and_error
from agents.ope.logged import Floats, Log

_MANY = 10.0  # a mean weight that has a chance of one in so many, where its expectation is 1 (Markov)


def of_weights(size: float, log_w: Floats, least: float, returns: Interval) -> tuple[str, ...]:
    """What is wrong with the last weights [K] of episodes that leave this effective sample size."""
    said, used = [], len(log_w)
    mean, error, log_mean = mean_and_error(log_w)
    if size == 0:
        return ("hopeless: the policy would have said nothing of what the log holds",)
    if size < least:
        said.append(f"hopeless: the weights leave {size:.1f} effective episodes of {used}, fewer than {least:g}")
    clear = max(0.01, 3 * error)  # too far from 1 for an accident of the draw
    if 1 - mean > clear:
        said.append(
            f"what the policy says is not all in the log: the weights average {mean:.2g} and not 1, and nothing here "
            f"knows what the rest would be paid; intervals allow it {returns.low:.3g} to {returns.high:.3g}"
        )
    elif mean > _MANY or mean - 1 > clear:
        shown = f"{mean:.3g}" if mean < 1e4 else f"e^{log_mean:.0f}"
        said.append(
            f"the weights average {shown} and not 1: the behaviour's log-probabilities are not those of who played the "
            "log (another model, temperature or tokenizer), or a few episodes are all that counts"
        )
    return tuple(said)


def of_unknown(log: Log) -> tuple[str, ...]:
    """Which episodes the weights know nothing of."""
    unknown, denied = ~log.known, log.denied  # [B] each
    said, of = [], len(unknown)
    if lacking := int((unknown & ~denied).sum()):
        said.append(f"{lacking} of {of} episodes were left out: they lack log-probabilities")
    if denied.any():
        said.append(
            f"{denied.sum()} of {of} episodes were left out: the policy named as the behaviour never says what they "
            "hold, so it did not play them (a greedy one has probability 0 or 1 of everything: name one that samples)"
        )
    return tuple(said)


def of_value(value: float, returns: Interval) -> tuple[str, ...]:
    """Whether an estimate is the return of anything."""
    if np.isinf(value):
        return ("too large for a number: its weights do not add up to 1",)
    slack = max(map(abs, returns)) + returns.high - returns.low
    if value < returns.low - slack or value > returns.high + slack:
        return (f"far from every return, {returns.low:.3g} to {returns.high:.3g}: its weights do not add up to 1",)
    return ()


def of_fitted(value: float, weighted: Interval | None, effective: float, least: float) -> tuple[str, ...]:
    """What is wrong with fitted values, by the interval of the weighted estimate where that is worth something."""
    if weighted is None or effective < least or np.isnan(weighted.low):
        return ("nothing checks the fitted values: no importance weights are worth anything here",)
    if weighted.low <= value <= weighted.high:
        return ()
    return (
        f"outside the weighted estimate's interval, {weighted.low:.3f} to {weighted.high:.3f}: fit Q for more steps",
    )
