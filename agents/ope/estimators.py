"""Estimates of a policy's value from another policy's episodes, in numpy: importance sampling and doubly robust.

The behaviour policy mu played the B episodes. The estimate is the value of the target policy pi. With the ratio
rho_t = pi(a_t | s_t) / mu(a_t | s_t) per token, w_t = rho_0 ... rho_t and w_-1 = 1:

    ordinary                (1 / B) sum_i  w_T  sum_t gamma^t r_t                         unbiased
    weighted                sum_i w_T sum_t gamma^t r_t  /  sum_i w_T                     consistent, far less variance
    per_decision            (1 / B) sum_i  sum_t gamma^t w_t r_t                          unbiased
    weighted_per_decision   sum_t gamma^t  (sum_i w_t r_t / sum_i w_t)                    consistent
    doubly_robust           (1 / B) sum_i  sum_t gamma^t (w_t (r_t - Q(s_t, a_t)) + w_t-1 V(s_t))
    fitted_q                (1 / B) sum_i  V(s_0)                                         as good as Q is

Doubly robust is unbiased for any Q that was not fitted to the same episodes, if V(s) = sum_a pi(a | s) Q(s, a): then
w_t Q and w_t-1 V cancel on average. ``ActionValues`` therefore computes V itself. An episode that has ended keeps its
last weight. Sources: Precup, Sutton and Singh 2000 ("Eligibility traces for off-policy policy evaluation"); Jiang and
Li 2016 (arXiv:1511.03722); Thomas and Brunskill 2016 (arXiv:1604.00923).

The products w grow or shrink with every token, so with long episodes a few episodes have almost all the weight. The
effective sample size (sum w)^2 / sum w^2 is the number of these episodes. If it is small, the intervals mean nothing.

Episodes that mu never plays have no weight. The estimators are unbiased or consistent only for the others, and

    E_mu[w_T] = 1 - m                      m is the probability under pi of episodes that mu never plays
    J = E_mu[w_T G] + m E_pi[G | rest]     G is the return, J the value of pi

(Sachdeva, Su and Joachims 2020, arXiv:2006.09438). The log does not determine the last factor. It lies between the
lowest and the highest return, g and h (Manski 1990, "Nonparametric bounds on treatment effects"). m is estimated by
max(0, 1 - mean w_T). The bootstrap's interval [low, high] is widened to contain

    ordinary, per_decision             low + m g              high + m h
    weighted, weighted_per_decision    (1 - m) low + m g      (1 - m) high + m h
    doubly_robust, fitted_q            low - m (h - g)        high + m (h - g)         Q may be wrong for the rest

For the estimators per decision this assumes that all rewards are paid at the end. The estimates themselves are not
changed: they are values of pi on episodes that mu may play.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from agents.evaluation.stats import Interval
from agents.ope import diagnostics
from agents.ope.log_space import Statistic, effective_sizes, mean_and_error, plain_mean, self_normalised
from agents.ope.logged import Floats, Log

_AT_ONCE = 100  # bootstrap samples; bounds their memory
_BY_WEIGHTS = ("ordinary", "weighted", "per_decision", "weighted_per_decision", "doubly_robust")


@dataclass(frozen=True)
class Estimate:
    """One estimate of the value of a policy.

    Attributes:
        name: the name of the estimator.
        value: the estimate; NaN if there is none, infinite if it is too large for a float.
        interval: the 95 % bootstrap interval over episodes, widened for episodes that the log never shows. It covers
            no other errors.
        effective: the effective number of episodes; if weights differ per decision, the smallest number at any decision
            with a reward.
        warnings: reasons not to trust the estimate, in words.
    """

    name: str
    value: float
    interval: Interval
    effective: float
    warnings: tuple[str, ...] = ()


def estimators(log: Log, gamma: float) -> dict[str, Statistic]:
    """Every estimator that the log allows, as a function of the number of times that each episode counts."""
    discount = gamma ** np.arange(log.mask.shape[1])  # [A]
    reward = np.where(log.mask, log.reward, 0.0) * discount  # [B, A]
    found: dict[str, Statistic] = {}
    if log.known.all():
        w = log.log_weights()  # [B, A]
        paid = reward.sum(1, keepdims=True)  # [B, 1]
        found["ordinary"] = plain_mean(w[:, -1:], paid)
        found["weighted"] = lambda counts: self_normalised(counts, w[:, -1:], paid).sum(1)
        found["per_decision"] = plain_mean(w, reward)
        found["weighted_per_decision"] = lambda counts: self_normalised(counts, w, reward).sum(1)
        if log.values is not None:
            q, v = (np.where(log.mask, x, 0.0) * discount for x in (log.values.q, log.values.v))  # [B, A] each
            before = np.concatenate([np.zeros_like(w[:, :1]), w[:, :-1]], 1)  # [B, A] log w_t-1
            found["doubly_robust"] = plain_mean(np.concatenate([w, before], 1), np.concatenate([reward - q, v], 1))
    if log.values is not None:
        start = np.where(log.mask[:, 0], log.values.v[:, 0], 0.0)  # [B]
        found["fitted_q"] = lambda counts: counts @ start / counts.sum(1)
    return found


def estimates(
    log: Log,
    rng: np.random.Generator,
    gamma: float = 1.0,
    least: float = 30.0,
    resamples: int = 1000,
    returns: tuple[float, float] | None = None,
) -> list[Estimate]:
    """All six estimates; one that cannot be made is NaN and has a warning.

    Episodes whose log-probabilities are not all known are left out of the first five.

    Args:
        log: the episodes.
        rng: generator of the bootstrap samples.
        gamma: discount per token of the agent.
        least: number of effective episodes below which an estimate is called hopeless.
        resamples: number of bootstrap samples.
        returns: the lowest and the highest return that an episode can have; None: those of the log.

    Raises:
        ValueError: ``returns`` is not a range.
    """
    known, discount = log.known, gamma ** np.arange(log.mask.shape[1])  # [B], [A]
    logged = (np.where(log.mask, log.reward, 0.0) * discount).sum(1)  # [B]
    bounds = Interval(*((logged.min(), logged.max()) if returns is None else returns))
    if not bounds.low <= bounds.high:
        raise ValueError(f"returns are the least and the greatest that an episode can have, not {returns}.")
    unknown, missing = diagnostics.of_unknown(log), 0.0
    uncovered: tuple[str, ...] = ()
    found: list[Estimate] = []
    if known.any():
        part = log if known.all() else log.select(known)
        w = part.log_weights()  # [K, A]
        sizes = effective_sizes(w)  # [A]
        missing = max(0.0, 1 - mean_and_error(w[:, -1])[0])
        uncovered = diagnostics.of_coverage(w[:, -1], bounds)
        paid = (np.where(part.mask, part.reward, 0.0) != 0).any(0)  # [A]
        smallest = float(sizes[paid].min()) if paid.any() else float(sizes[-1])
        for name, statistic in estimators(part, gamma).items():
            if name != "fitted_q":
                size = smallest if "per_decision" in name else float(sizes[-1])
                value, drawn = _bootstrapped(statistic, len(w), rng, resamples)
                why = (
                    *diagnostics.of_value(value, bounds),
                    *diagnostics.of_weights(size, w[:, -1], least, bounds),
                    *unknown,
                )
                found.append(Estimate(name, value, widened(name, drawn, missing, bounds), size, why))
    else:
        none = (
            "hopeless: the log has no log-probabilities of what was said; give the policy that played it, or a bc run "
            "on the log, as --behaviour"
        )
        for name in _BY_WEIGHTS:
            if name != "doubly_robust" or log.values is not None:
                found.append(Estimate(name, np.nan, Interval(np.nan, np.nan), 0.0, (none, *unknown)))
    if log.values is not None:
        value, drawn = _bootstrapped(estimators(log, gamma)["fitted_q"], len(known), rng, resamples)
        fitted = Estimate("fitted_q", value, widened("fitted_q", drawn, missing, bounds), float(len(known)))
        [weighted] = [other for other in found if other.name == "weighted"]
        why = diagnostics.of_fitted(value, weighted.interval, weighted.effective, least)
        found.append(replace(fitted, warnings=(*uncovered, *why)))
    return found


def widened(name: str, drawn: Interval, missing: float, returns: Interval) -> Interval:
    """The interval of an estimator, widened for episodes that the log never shows (see the module)."""
    low, high = drawn
    if name in ("ordinary", "per_decision"):
        ends = low + missing * returns.low, high + missing * returns.high
    elif name in ("weighted", "weighted_per_decision"):
        ends = (1 - missing) * low + missing * returns.low, (1 - missing) * high + missing * returns.high
    else:
        ends = low - missing * (returns.high - returns.low), high + missing * (returns.high - returns.low)
    return Interval(min(low, ends[0]), max(high, ends[1]))


def _bootstrapped(
    statistic: Statistic, episodes: int, rng: np.random.Generator, resamples: int
) -> tuple[float, Interval]:
    """The estimate and its bootstrap interval; NaN if samples are not numbers."""
    value = float(statistic(np.ones((1, episodes)))[0])
    even = np.full(episodes, 1 / episodes)
    sizes = [min(_AT_ONCE, resamples - at) for at in range(0, resamples, _AT_ONCE)]
    samples: Floats = np.concatenate([statistic(rng.multinomial(episodes, even, n).astype(np.float64)) for n in sizes])
    samples = samples[~np.isnan(samples)]  # a sample may hold none of the episodes with weight
    if episodes < 2 or not len(samples) or np.isinf(samples).any():
        return value, Interval(np.nan, np.nan)
    low, high = np.quantile(samples, [0.025, 0.975])
    return value, Interval(float(low), float(high))
