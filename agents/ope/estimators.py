"""Estimates of a policy's value from what another policy said, in numpy: importance sampling and doubly robust.

Episode i of B was played by the behaviour policy mu; the question is what the target policy pi would have been paid.
With rho_t = pi(a_t | s_t) / mu(a_t | s_t) per token, w_t = rho_0 ... rho_t and w_-1 = 1:

    ordinary                (1 / B) sum_i  w_T  sum_t gamma^t r_t                         unbiased
    weighted                sum_i w_T sum_t gamma^t r_t  /  sum_i w_T                     consistent, far less variance
    per_decision            (1 / B) sum_i  sum_t gamma^t w_t r_t                          unbiased
    weighted_per_decision   sum_t gamma^t  (sum_i w_t r_t / sum_i w_t)                    consistent
    doubly_robust           (1 / B) sum_i  sum_t gamma^t (w_t (r_t - Q(s_t, a_t)) + w_t-1 V(s_t))
    fitted_q                (1 / B) sum_i  V(s_0)                                         as good as Q is

Q and V are estimates of pi's own values, and doubly robust is unbiased whatever they are, as long as they were not
fitted to the same episodes. An episode that has ended keeps its last weight. Precup, Sutton and Singh 2000
("Eligibility traces for off-policy policy evaluation"); Jiang and Li 2016 (arXiv:1511.03722); Thomas and Brunskill 2016
(arXiv:1604.00923).

The products w grow or vanish with every token, and with long episodes all weight comes to lie on a few of them. The
effective sample size (sum w)^2 / sum w^2 counts those, and no interval means anything where it is small. What the log
never shows has no weight at all: the mean of w, which is 1 where the log covers what pi says, is then below 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.evaluation.stats import Interval

Floats = NDArray[np.float64]
_LARGEST = 300.0  # logarithm of the largest weight; sums of squares of larger ones would overflow
_AT_ONCE = 100  # bootstrap samples; bounds their memory


@dataclass(frozen=True, eq=False)
class Log:
    """B logged episodes of at most A decisions, padded on the right; what is in the padding does not matter.

    Attributes:
        reward: [B, A].
        mask: bool [B, A], True for real decisions.
        target: [B, A], log-probability of what was said, under the policy that is evaluated; -inf: it never says that.
        behaviour: [B, A], under the policy that said it; NaN where unknown.
        q: [B, A], Q of the evaluated policy at what was said; None where there is none.
        v: [B, A], V of it in the state before.

    Raises:
        ValueError: shapes that differ, no episode, Q without V.
    """

    reward: Floats
    mask: NDArray[np.bool_]
    target: Floats
    behaviour: Floats
    q: Floats | None = None
    v: Floats | None = None

    def __post_init__(self) -> None:
        """Checks the shapes."""
        given = {name: x.shape for name, x in vars(self).items() if x is not None}
        if len(set(given.values())) != 1 or len(self.mask.shape) != 2 or not len(self.mask):
            raise ValueError(f"A log needs arrays of one shape, episodes x decisions, with an episode; got {given}.")
        if (self.q is None) != (self.v is None):
            raise ValueError("Q and V belong together: pass both, or neither.")

    def select(self, episodes: NDArray[Any]) -> Log:
        """Some of the episodes."""
        columns: dict[str, Any] = {name: None if x is None else x[episodes] for name, x in vars(self).items()}
        return Log(**columns)

    @property
    def known(self) -> NDArray[np.bool_]:
        """Whether the behaviour's log-probability of everything said in an episode is known, bool [B]."""
        return np.asarray(~(np.isnan(self.behaviour) & self.mask).any(1))

    def weights(self) -> Floats:
        """w_t of every decision [B, A]; an episode that has ended keeps its last."""
        ratio = np.where(self.mask, self.target - np.where(self.mask, self.behaviour, 0.0), 0.0)  # [B, A]
        return np.exp(np.minimum(np.cumsum(ratio, 1), _LARGEST))


@dataclass(frozen=True)
class Estimate:
    """One estimate of the value of a policy.

    Attributes:
        name: of the estimator.
        value: the estimate; NaN where there is none.
        interval: of a bootstrap over episodes, 95%; it knows of no error but that of drawing the episodes.
        effective: how many episodes the estimate rests on; where weights differ per decision, at the worst of the
            decisions that were paid.
        warnings: why not to trust it, in words.
    """

    name: str
    value: float
    interval: Interval
    effective: float
    warnings: tuple[str, ...] = ()


Statistic = Callable[[Floats], Floats]
"""How often each episode counts [S, B] -> S estimates"""


def estimators(log: Log, gamma: float) -> dict[str, Statistic]:
    """Every estimator the log allows, as a function of how often each of its episodes counts."""
    discount = gamma ** np.arange(log.mask.shape[1])  # [A]
    reward = np.where(log.mask, log.reward, 0.0) * discount  # [B, A]
    found: dict[str, Statistic] = {}
    if log.known.all():
        w = log.weights()  # [B, A]
        paid = reward.sum(1)  # [B]
        found["ordinary"] = _mean(w[:, -1] * paid)
        found["weighted"] = lambda counts: _ratio(counts, w[:, -1:], paid[:, None]).sum(1)
        found["per_decision"] = _mean((w * reward).sum(1))
        found["weighted_per_decision"] = lambda counts: _ratio(counts, w, reward).sum(1)
        if log.q is not None and log.v is not None:
            before = np.concatenate([np.ones_like(w[:, :1]), w[:, :-1]], 1)  # [B, A] w_t-1
            q, v = (np.where(log.mask, x, 0.0) * discount for x in (log.q, log.v))  # [B, A] each
            found["doubly_robust"] = _mean((w * (reward - q) + before * v).sum(1))
    if log.v is not None:
        found["fitted_q"] = _mean(np.where(log.mask[:, 0], log.v[:, 0], 0.0))
    return found


def _mean(values: Floats) -> Statistic:
    """The mean of values [B]."""
    return lambda counts: counts @ values / counts.sum(1)


def _ratio(counts: Floats, w: Floats, x: Floats) -> Floats:
    """The mean of x [B, n] by the weights w [B, n], in each sample and column: [S, n]; NaN where no weight is left."""
    w = w / np.maximum(w.max(0), np.finfo(float).tiny)  # [B, n] a common factor does not matter
    total = counts @ w  # [S, n]
    return np.divide(counts @ (w * x), total, out=np.full_like(total, np.nan), where=total > 0)


def effective_sizes(w: Floats) -> Floats:
    """Effective sample size of weights [B, n] by column, [n]; 0 where all weights are."""
    w = w / np.maximum(w.max(0), np.finfo(float).tiny)  # [B, n]
    square = (w**2).sum(0)  # [n]
    sizes: Floats = np.divide(w.sum(0) ** 2, square, out=np.zeros_like(square), where=square > 0)
    return sizes


def estimates(
    log: Log,
    rng: np.random.Generator,
    gamma: float = 1.0,
    least: float = 30.0,
    resamples: int = 1000,
) -> list[Estimate]:
    """All six estimates, or why there is none.

    Episodes whose log-probabilities are not all known are left out of the first five.

    Args:
        log: the episodes.
        rng: where the bootstrap samples come from.
        gamma: discount per token of the agent.
        least: effective episodes below which an estimate is called hopeless.
        resamples: bootstrap samples.
    """
    known = log.known  # [B]
    found: list[Estimate] = []
    if known.any():
        part = log if known.all() else log.select(known)
        w = part.weights()  # [K, A]
        sizes = effective_sizes(w)  # [A]
        paid = (np.where(part.mask, part.reward, 0.0) != 0).any(0)  # [A]
        smallest = float(sizes[paid].min()) if paid.any() else float(sizes[-1])
        for name, statistic in estimators(part, gamma).items():
            if name != "fitted_q":
                size = smallest if "per_decision" in name else float(sizes[-1])
                warnings = _warnings(size, w[:, -1], len(known), least)
                found.append(_estimate(name, statistic, len(w), rng, resamples, size, warnings))
    else:
        why = "hopeless: the log has no log-probabilities of what was said; name the policy that said it"
        for name in ("ordinary", "weighted", "per_decision", "weighted_per_decision", "doubly_robust"):
            if name != "doubly_robust" or log.q is not None:
                found.append(Estimate(name, np.nan, Interval(np.nan, np.nan), 0.0, (why,)))
    if log.v is not None:
        statistic = estimators(log, gamma)["fitted_q"]
        fitted = _estimate("fitted_q", statistic, len(known), rng, resamples, float(len(known)), ())
        missing = [why for other in found for why in other.warnings if why.startswith("what the policy says")]
        found.append(replace(fitted, warnings=(*missing[:1], *_disagreement(fitted, found, least))))
    return found


def _disagreement(fitted: Estimate, others: list[Estimate], least: float) -> tuple[str, ...]:
    """What is wrong with fitted values, by the weighted estimate where that is worth something."""
    weighted = next((other for other in others if other.name == "weighted"), None)
    if weighted is None or weighted.effective < least or np.isnan(weighted.interval.low):
        return ("nothing checks the fitted values: no importance weights are worth anything here",)
    low, high = weighted.interval
    if low <= fitted.value <= high:
        return ()
    return (f"outside the weighted estimate's interval, {low:.3f} to {high:.3f}: fit Q for more steps",)


def _warnings(size: float, w: Floats, logged: int, least: float) -> tuple[str, ...]:
    """What is wrong with the weights w [K] of so many of the logged episodes, and with this effective sample size."""
    said, used, average = [], len(w), float(w.mean())
    if size == 0:
        said.append("hopeless: the policy would have said nothing of what the log holds")
    elif size < least:
        said.append(f"hopeless: the weights leave {size:.1f} effective episodes of {used}, fewer than {least:g}")
    error = float(w.std(ddof=1) / np.sqrt(used)) if used > 1 else np.inf
    if size > 0 and 1 - average > max(0.01, 3 * error):  # too far below 1 for an accident of the draw
        said.append(
            f"what the policy says is not all in the log: the weights average {average:.2g} and not 1, and nothing "
            "here knows what the rest would be paid"
        )
    if used < logged:
        said.append(f"{logged - used} of {logged} episodes were left out: they lack log-probabilities")
    return tuple(said)


def _estimate(
    name: str,
    statistic: Statistic,
    episodes: int,
    rng: np.random.Generator,
    resamples: int,
    size: float,
    warnings: tuple[str, ...],
) -> Estimate:
    value = float(statistic(np.ones((1, episodes)))[0])
    even = np.full(episodes, 1 / episodes)
    sizes = [min(_AT_ONCE, resamples - at) for at in range(0, resamples, _AT_ONCE)]
    samples = np.concatenate([statistic(rng.multinomial(episodes, even, n).astype(np.float64)) for n in sizes])
    samples = samples[~np.isnan(samples)]  # a sample may hold none of the episodes with weight
    if episodes < 2 or not len(samples):
        return Estimate(name, value, Interval(np.nan, np.nan), size, warnings)
    low, high = np.quantile(samples, [0.025, 0.975])
    return Estimate(name, value, Interval(float(low), float(high)), size, warnings)
