"""Episode: the record of an episode that all parts of the project exchange (tokens, actions, rewards per token)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lang_envs.turns import turn_begins


@dataclass(frozen=True, eq=False)
class Episode:
    """One episode, exactly as it was produced.

    Attributes:
        tokens: int32 [T], never re-tokenised.
        is_action: bool [T], True where the agent chose the token (end tokens included).
        rewards: float32 [T], non-zero only where ``is_action``.
        terminated: the task ended; nothing follows.
        truncated: the episode was cut (context full, turn limit); its last state has a value.
        logprobs: float32 [T], log-probabilities under the behaviour policy; NaN where the token is no action or the
            value is unknown. None if no value is known.
        info: JSON-able facts (seed, policy, the task's own).

    Raises:
        ValueError: the fields contradict each other; the message says which and where.
        TypeError: a field has the wrong type; the message says what was expected.
    """

    tokens: NDArray[np.int32]
    is_action: NDArray[np.bool_]
    rewards: NDArray[np.float32]
    terminated: bool
    truncated: bool = False
    logprobs: NDArray[np.float32] | None = None
    info: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Checks the fields against each other."""
        _check_columns(self.tokens, self.is_action, self.rewards, self.logprobs)
        if self.tokens.size == 0:
            raise ValueError("an episode needs at least one token: the opening observation is never empty")
        if self.is_action[0]:
            raise ValueError("is_action[0] is True, but the first token belongs to the opening observation")
        if self.tokens.min() < 0:
            raise ValueError(f"tokens must be ids >= 0, got {self.tokens.min()} at {int(self.tokens.argmin())}")
        if self.terminated and self.truncated:
            raise ValueError("an episode is terminated or truncated, never both; terminated wins")
        _check_rewards(self.rewards, self.is_action)
        if self.logprobs is not None:
            _check_logprobs(self.logprobs, self.is_action)

    @property
    def ret(self) -> float:
        """The undiscounted return: the sum of the rewards."""
        return float(self.rewards.sum(dtype=np.float64))

    @property
    def num_actions(self) -> int:
        """The number of tokens that the agent chose."""
        return int(np.count_nonzero(self.is_action))

    def utterances(self, end_id: int, limit: int | None = None) -> list[slice]:
        """The positions of the agent's utterances among the tokens, in order, each with its end token if it has one.

        Args:
            end_id: the token that ends an utterance. The observation between two utterances may be empty.
            limit: the most tokens of an utterance, so that utterances cut there are told apart; None: none was cut.
        """
        taken = np.flatnonzero(self.is_action)  # [K]
        begins = np.flatnonzero(turn_begins(taken, self.tokens[taken], end_id, limit))
        lasts = np.append(begins[1:], len(taken)) - 1 if len(taken) else begins
        return [slice(i, j + 1) for i, j in zip(taken[begins].tolist(), taken[lasts].tolist(), strict=True)]

    def __len__(self) -> int:
        """T, the number of tokens."""
        return len(self.tokens)

    def same_as(self, other: Episode) -> bool:
        """Whether both are the same record, field by field; unknown log-probabilities equal each other."""
        return (
            np.array_equal(self.tokens, other.tokens)
            and np.array_equal(self.is_action, other.is_action)
            and np.array_equal(self.rewards, other.rewards)
            and (self.terminated, self.truncated) == (other.terminated, other.truncated)
            and _same_logprobs(self.logprobs, other.logprobs)
            and self.info == other.info
        )


@dataclass(frozen=True, eq=False)
class Episodes(Sequence[Episode]):
    """B episodes of N tokens in all, in columns: a ``Sequence[Episode]`` that is batched without a loop over it.

    Attributes:
        tokens: int32 [N], the episodes one after another.
        is_action: bool [N].
        rewards: float32 [N].
        offsets: int64 [B + 1]; episode b is ``tokens[offsets[b]:offsets[b + 1]]``.
        terminated: bool [B].
        truncated: bool [B].
        logprobs: float32 [N], NaN where unknown; None if no episode has them.
        info: B dictionaries; they may be empty if the caller did not ask for them.

    Raises:
        ValueError: the columns' lengths do not fit each other.
        TypeError: a column has the wrong type.
    """

    tokens: NDArray[np.int32]
    is_action: NDArray[np.bool_]
    rewards: NDArray[np.float32]
    offsets: NDArray[np.int64]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    logprobs: NDArray[np.float32] | None
    info: list[dict[str, Any]]

    def __post_init__(self) -> None:
        """Checks types and lengths. The content of an episode is checked when it becomes an ``Episode``."""
        _check_columns(self.tokens, self.is_action, self.rewards, self.logprobs)
        _check_array("offsets", self.offsets, np.int64)
        _check_array("terminated", self.terminated, np.bool_)
        _check_array("truncated", self.truncated, np.bool_)
        starts_and_ends = len(self.offsets) > 0 and self.offsets[0] == 0 and self.offsets[-1] == len(self.tokens)
        if not starts_and_ends or (self.offsets[1:] <= self.offsets[:-1]).any():
            raise ValueError(
                f"offsets must rise from 0 to the number of tokens, {len(self.tokens)}, by at least 1 each"
            )
        count = len(self.offsets) - 1
        for name, column in (("terminated", self.terminated), ("truncated", self.truncated), ("info", self.info)):
            if len(column) != count:
                raise ValueError(f"{name} has {len(column)} entries for {count} episodes")

    @classmethod
    def from_list(cls, episodes: Sequence[Episode]) -> Episodes:
        """Joins episodes into columns."""
        if not episodes:
            return cls.concat([])
        logprobs = None
        if any(e.logprobs is not None for e in episodes):
            unknown = [e.logprobs if e.logprobs is not None else np.full(len(e), np.nan, np.float32) for e in episodes]
            logprobs = np.concatenate(unknown)
        return cls(
            tokens=np.concatenate([e.tokens for e in episodes]),
            is_action=np.concatenate([e.is_action for e in episodes]),
            rewards=np.concatenate([e.rewards for e in episodes]),
            offsets=np.cumsum([0, *(len(e) for e in episodes)], dtype=np.int64),
            terminated=np.array([e.terminated for e in episodes], np.bool_),
            truncated=np.array([e.truncated for e in episodes], np.bool_),
            logprobs=logprobs,
            info=[e.info for e in episodes],
        )

    @classmethod
    def concat(cls, parts: Sequence[Episodes]) -> Episodes:
        """Joins columns end to end."""
        logprobs = None
        if any(p.logprobs is not None for p in parts):
            logprobs = np.concatenate(
                [p.logprobs if p.logprobs is not None else np.full(len(p.tokens), np.nan, np.float32) for p in parts]
            )
        lengths = [p.lengths for p in parts]
        return cls(
            tokens=np.concatenate([np.empty(0, np.int32), *(p.tokens for p in parts)]),
            is_action=np.concatenate([np.empty(0, np.bool_), *(p.is_action for p in parts)]),
            rewards=np.concatenate([np.empty(0, np.float32), *(p.rewards for p in parts)]),
            offsets=np.cumsum(np.concatenate([np.zeros(1, np.int64), *lengths]), dtype=np.int64),
            terminated=np.concatenate([np.empty(0, np.bool_), *(p.terminated for p in parts)]),
            truncated=np.concatenate([np.empty(0, np.bool_), *(p.truncated for p in parts)]),
            logprobs=logprobs,
            info=[info for p in parts for info in p.info],
        )

    @property
    def lengths(self) -> NDArray[np.int64]:
        """The number of tokens of each episode, [B]."""
        return np.diff(self.offsets)

    @property
    def returns(self) -> NDArray[np.float64]:
        """The undiscounted return of each episode, [B]."""
        if len(self) == 0:
            return np.zeros(0)
        return np.add.reduceat(self.rewards.astype(np.float64), self.offsets[:-1])

    def __len__(self) -> int:
        """B, the number of episodes."""
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> Episode:  # type: ignore[override]  # a slice has no cheaper form than a list of indices
        """Episode ``index``; its arrays are views of the columns."""
        b = range(len(self))[index]  # raises IndexError; a negative index counts from the end
        span = slice(self.offsets[b], self.offsets[b + 1])
        logprobs = None if self.logprobs is None else self.logprobs[span]
        if logprobs is not None and np.isnan(logprobs).all():
            logprobs = None
        return Episode(
            tokens=self.tokens[span],
            is_action=self.is_action[span],
            rewards=self.rewards[span],
            terminated=bool(self.terminated[b]),
            truncated=bool(self.truncated[b]),
            logprobs=logprobs,
            info=self.info[b],
        )

    def __iter__(self) -> Iterator[Episode]:
        """The episodes one by one."""
        return (self[b] for b in range(len(self)))


def _check_array(name: str, array: Any, dtype: type[np.generic]) -> None:
    if not isinstance(array, np.ndarray) or array.dtype != dtype:
        got = f"an array of {array.dtype}" if isinstance(array, np.ndarray) else type(array).__name__
        raise TypeError(f"{name} must be a numpy array of {np.dtype(dtype)}, got {got}; convert it with np.asarray")
    if array.ndim != 1:
        raise ValueError(f"{name} must have one dimension, got shape {array.shape}")


def _check_columns(tokens: Any, is_action: Any, rewards: Any, logprobs: Any) -> None:
    _check_array("tokens", tokens, np.int32)
    _check_array("is_action", is_action, np.bool_)
    _check_array("rewards", rewards, np.float32)
    lengths = [len(tokens), len(is_action), len(rewards)]
    if logprobs is not None:
        _check_array("logprobs", logprobs, np.float32)
        lengths.append(len(logprobs))
    if min(lengths) != max(lengths):
        raise ValueError(f"tokens, is_action, rewards and logprobs need one entry a token, got lengths {lengths}")


def _check_rewards(rewards: NDArray[np.float32], is_action: NDArray[np.bool_]) -> None:
    if not np.isfinite(rewards).all():
        raise ValueError(f"rewards must be finite, got {rewards[~np.isfinite(rewards)][0]}")
    if rewards[~is_action].any():
        stray = int(((rewards != 0) & ~is_action).argmax())
        raise ValueError(f"reward {rewards[stray]} at token {stray}, which is no action: rewards lie on actions")


def _check_logprobs(logprobs: NDArray[np.float32], is_action: NDArray[np.bool_]) -> None:
    if np.isinf(logprobs).any():
        raise ValueError("logprobs must be finite, or NaN where unknown; an action that was taken has a probability")
    unknown = np.isnan(logprobs)
    if not (unknown | is_action).all():
        stray = int((unknown | is_action).argmin())
        raise ValueError(f"logprob {logprobs[stray]} at token {stray}, which is no action: it must be NaN there")


def _same_logprobs(a: NDArray[np.float32] | None, b: NDArray[np.float32] | None) -> bool:
    if a is None or b is None:
        return a is b
    return np.array_equal(a, b, equal_nan=True)
