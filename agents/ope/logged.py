"""Logged episodes as off-policy estimates need them: rewards, log-probabilities of two policies, and values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_EXCESS = 1e-4  # what rounding may add to a log-probability of 0
_ALIKE = 1e-2  # how far the probabilities of two passes over the same tokens may differ


class ActionValues:
    """Q of each action and V of the state before it, with V = sum_a pi(a | s) Q(s, a) for any Q.

    Both are computed here, so that V always belongs to Q. The doubly robust estimate is unbiased only then.

    Args:
        pi: [..., n], the probability of each of n actions under the evaluated policy.
        q: [..., n], an estimate of each action's value.
        said: integers [...], the action that was taken.

    Attributes:
        pi: [...], the probability of the taken action.
        q: [...], Q of the taken action.
        v: [...], V of the state before it.

    Raises:
        ValueError: ``pi`` is not a distribution, or the shapes do not fit.
    """

    pi: Floats
    q: Floats
    v: Floats

    def __init__(self, pi: NDArray[Any], q: NDArray[Any], said: NDArray[np.integer[Any]]) -> None:
        shape = (*said.shape, q.shape[-1])
        try:
            pi, q = np.broadcast_to(pi, shape), np.broadcast_to(q, shape)
        except ValueError:
            raise ValueError(
                f"pi and q need one entry an action, [..., n] for actions said [...]; got {pi.shape}, {q.shape} and "
                f"{said.shape}."
            ) from None
        if (pi < 0).any() or (abs(pi.sum(-1) - 1) > 1e-3).any():
            raise ValueError("pi needs the probabilities of all actions, which are at least 0 and add up to 1.")
        at = said[..., None]
        self.pi, self.q = (np.take_along_axis(x, at, -1)[..., 0].astype(np.float64) for x in (pi, q))
        self.v = np.einsum("...n,...n->...", pi, q, dtype=np.float64)

    @classmethod
    def together(cls, parts: Sequence[ActionValues], arrange: Callable[[list[Floats]], Floats]) -> ActionValues:
        """Joins several into one: ``arrange`` joins their arrays, separately for ``pi``, ``q`` and ``v``."""
        found = cls.__new__(cls)
        found.pi, found.q, found.v = (arrange([getattr(part, name) for part in parts]) for name in ("pi", "q", "v"))
        return found


@dataclass(frozen=True, eq=False)
class Log:
    """B logged episodes of at most A decisions, padded on the right; the content of the padding does not matter.

    Attributes:
        reward: [B, A].
        mask: bool [B, A], True for real decisions.
        target: [B, A], log-probability of each action under the evaluated policy; -inf for one that it never takes.
        behaviour: [B, A], log-probability of each action under the behaviour policy; NaN if unknown. -inf counts as
            unknown too, because the policy that took an action cannot have had probability 0 for it.
        values: values of the evaluated policy, [B, A], or None.

    Raises:
        ValueError: shapes differ, there is no episode, a number is not a log-probability, or the values belong to
            another policy.
    """

    reward: Floats
    mask: NDArray[np.bool_]
    target: Floats
    behaviour: Floats
    values: ActionValues | None = None

    def __post_init__(self) -> None:
        """Checks the columns."""
        given = {name: x.shape for name, x in vars(self).items() if isinstance(x, np.ndarray)}
        given |= {} if self.values is None else {"values": self.values.v.shape}
        if len(set(given.values())) != 1 or len(self.mask.shape) != 2 or not len(self.mask):
            raise ValueError(f"A log needs arrays of one shape, episodes x decisions, with an episode; got {given}.")
        for name, logp in (("target", self.target), ("behaviour", self.behaviour)):
            if (high := logp[self.mask & ~np.isnan(logp)].max(initial=-np.inf)) > _EXCESS:
                raise ValueError(
                    f"{name} needs log-probabilities, which are at most 0, and one is {high:.4g}. Pass the logarithms "
                    "of probabilities."
                )
        if np.isnan(self.target[self.mask]).any():
            raise ValueError("target needs the log-probability of every action, and one is NaN.")
        if self.values is not None:
            off = abs(np.exp(self.target) - self.values.pi)[self.mask].max(initial=0.0)
            if off > _ALIKE:
                raise ValueError(
                    f"The values are of another policy than the target: their probabilities differ by up to {off:.3g}."
                )

    def select(self, episodes: NDArray[Any]) -> Log:
        """Some of the episodes."""
        values = self.values and ActionValues.together([self.values], lambda arrays: arrays[0][episodes])
        return Log(self.reward[episodes], self.mask[episodes], self.target[episodes], self.behaviour[episodes], values)

    @property
    def known(self) -> NDArray[np.bool_]:
        """Whether the behaviour's log-probabilities of all actions of an episode are known, bool [B]."""
        return np.asarray((np.isfinite(self.behaviour) | ~self.mask).all(1))

    @property
    def denied(self) -> NDArray[np.bool_]:
        """Whether an episode has an action that the named behaviour policy never takes, bool [B]."""
        return np.asarray((np.isneginf(self.behaviour) & self.mask).any(1))

    def log_weights(self) -> Floats:
        """Log w_t of every decision [B, A] of known episodes; an episode that has ended keeps its last weight."""
        ratio = np.where(self.mask, self.target, 0.0) - np.where(self.mask, self.behaviour, 0.0)  # [B, A]
        return np.cumsum(ratio, 1)
