"""A task for N episodes at once, over tokens: the one interface between a task's rules and the vector environment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lang_envs.arguments import shown, whole_number
from lang_envs.replies import check_reply
from lang_envs.speech import Observation, Speech

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from lang_envs.task import Task


@dataclass
class Replies:
    """What the environment said to n episodes: ``Reply`` in columns, as tokens."""

    tokens: NDArray[np.int32]  # [n, R] right-padded; R may be 0
    lengths: NDArray[np.int64]  # [n] how many of them are real
    rewards: NDArray[np.float32]  # [n]
    terminated: NDArray[np.bool_]  # [n]
    info: dict[str, NDArray[Any]] = field(default_factory=dict)  # key -> [n]


class Dynamics(Protocol):
    """Holds the states of N episodes and moves those it is asked to."""

    def begin(
        self, rows: NDArray[np.int64], rngs: Sequence[np.random.Generator], contexts: Sequence[int | None] = ()
    ) -> Replies:
        """Starts new episodes in ``rows``; the replies are the opening observations (rewards 0, not terminated).

        ``contexts`` has the starting point for each row; none of them where the task has no ``num_contexts``.
        """
        ...

    def reply(
        self,
        rows: NDArray[np.int64],
        utterances: NDArray[np.int32],  # [n, L] right-padded agent tokens, the end token included where there is one
        lengths: NDArray[np.int64],  # [n]
        rngs: Sequence[np.random.Generator],
    ) -> Replies:
        """Answers one utterance in each of ``rows``."""
        ...

    def state(self, row: int) -> Any:
        """The task's state of one episode, as the value ``Task.reply`` would have returned."""
        ...


class TextDynamics:
    """Any task through its text: decode, ``Task.reply_batch``, encode."""

    def __init__(self, task: Task[Any], tokenizer: PreTrainedTokenizerFast, num_envs: int) -> None:
        self.task, self.tokenizer = task, tokenizer
        self.states: list[Any] = [None] * num_envs
        self.turns = [0] * num_envs  # answered so far in each episode
        self._pad_id, self._speech = int(tokenizer.pad_token_id), Speech(task, tokenizer)

    def begin(
        self, rows: NDArray[np.int64], rngs: Sequence[np.random.Generator], contexts: Sequence[int | None] = ()
    ) -> Replies:
        """Draws an initial state for each of ``rows``."""
        texts, n = [], len(rows)
        for row, rng, context in zip(rows.tolist(), rngs, contexts or [None] * n, strict=True):
            self.states[row], text = begin(self.task, rng, context)
            self.turns[row] = 0
            texts.append(text)
        return Replies(*pad(self._speech.openings(texts), self._pad_id), np.zeros(n, np.float32), np.zeros(n, np.bool_))

    def reply(
        self,
        rows: NDArray[np.int64],
        utterances: NDArray[np.int32],
        lengths: NDArray[np.int64],
        rngs: Sequence[np.random.Generator],
    ) -> Replies:
        """Answers one utterance in each of ``rows``, all in one call of ``Task.reply_batch``.

        Raises:
            ValueError: where the task's replies do not all have the same info keys, are not one for each utterance, or
                hold a number that no record can (:func:`lang_envs.replies.check_reply`).
            TypeError: where one is no ``Reply``, or has a field of another type.
        """
        end = self.tokenizer.eos_token_id
        ended = utterances[np.arange(len(rows)), lengths - 1] == end  # [n]; one cut at its limit has no end token
        said = [u[:n] for u, n in zip(utterances, (lengths - ended).tolist(), strict=True)]
        states = [self.states[row] for row in rows.tolist()]
        texts, name = self._speech.heard(said), type(self.task).__name__
        replies = self.task.reply_batch(states, texts, rngs)
        if len(replies) != len(rows):
            raise ValueError(f"{name}.reply_batch must answer {len(rows)} utterances, got {len(replies)} replies")
        for row, text, reply in zip(rows.tolist(), texts, replies, strict=True):
            check_reply(reply, name, self.turns[row] + 1, text)
        for row, reply in zip(rows.tolist(), replies, strict=True):
            self.states[row] = reply.state
            self.turns[row] += 1
        keys = replies[0].info.keys()
        if any(reply.info.keys() != keys for reply in replies):
            raise ValueError(f"{name}: every reply must have the same info keys, {list(keys)} at first")
        over = [bool(reply.terminated) for reply in replies]
        answers = self._speech.answers([reply.text for reply in replies], ended.tolist(), over)
        tokens, reply_lengths = pad(answers, self._pad_id)
        return Replies(
            tokens,
            reply_lengths,
            np.array([reply.reward for reply in replies], np.float32),
            np.array(over, np.bool_),
            {key: _column([reply.info[key] for reply in replies]) for key in keys},
        )

    def state(self, row: int) -> Any:
        """The task's state of one episode."""
        return self.states[row]


def begin(task: Task[Any], rng: np.random.Generator, context: int | None) -> tuple[Any, Observation]:
    """The initial state and the opening observation, from a starting point that was checked, or from any."""
    return task.begin(rng) if context is None else task.begin_at(context, rng)


def check_context(task: Task[Any], context: Any) -> int | None:
    """A starting point of the task's as an int; None where any will do.

    Raises:
        ValueError: where the task has no such starting point.
        TypeError: where it is no integer.
    """
    if context is None:
        return None
    context, name = whole_number(context, "a context"), type(task).__name__
    if task.num_contexts is None:
        raise ValueError(f"{name} has no contexts to choose from, but context {shown(context)} was asked for")
    if not 0 <= context < task.num_contexts:
        raise ValueError(f"context {shown(context)} is out of range: {name} has {task.num_contexts}, from 0")
    return context


def pad(
    tokens: Sequence[Sequence[int] | NDArray[np.int32]], pad_id: int
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Stacks lists of tokens into one array: tokens [n, longest] right-padded, and lengths [n]."""
    lengths = np.fromiter(map(len, tokens), np.int64, len(tokens))
    padded = np.full((len(tokens), int(lengths.max(initial=0))), pad_id, np.int32)
    if padded.size:
        padded[np.arange(padded.shape[1]) < lengths[:, None]] = np.concatenate(
            [np.asarray(t, np.int32) for t in tokens]
        )
    return padded, lengths


def _column(values: list[Any]) -> NDArray[Any]:
    """Numbers or booleans of one kind as an array of it, anything else as objects."""
    if len(set(map(type, values))) == 1 and isinstance(values[0], (bool, int, float, np.generic)):
        return np.array(values)
    column = np.empty(len(values), object)
    column[:] = values
    return column
