"""TextDynamics: plays any task for N episodes at once as text: decode, ``Task.reply_batch``, encode."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lang_envs.contexts import begin
from lang_envs.dynamics import Replies, pad
from lang_envs.replies import check_reply
from lang_envs.speech import Speech
from lang_envs.task import Task

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


class TextDynamics:
    """See :class:`lang_envs.dynamics.Dynamics`."""

    def __init__(self, task: Task[Any], tokenizer: PreTrainedTokenizerFast, num_envs: int) -> None:
        self.task, self.tokenizer = task, tokenizer
        self.states: list[Any] = [None] * num_envs
        self.turns = [0] * num_envs  # number of turns answered so far in each episode
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
            ValueError: the task's replies do not all have the same info keys, are not one for each utterance, or hold a
                number that no record can hold (:func:`lang_envs.replies.check_reply`).
            TypeError: a reply is not a ``Reply``, or has a field of another type.
        """
        end = self.tokenizer.eos_token_id
        ended = utterances[np.arange(len(rows)), lengths - 1] == end  # [n]; a cut utterance has no end token
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


def _column(values: list[Any]) -> NDArray[Any]:
    """An array [n] of the values: numbers or booleans of one type as that type, all others as objects."""
    if len(set(map(type, values))) == 1 and isinstance(values[0], (bool, int, float, np.generic)):
        return np.array(values)
    column = np.empty(len(values), object)
    column[:] = values
    return column
