"""Policies for any task: random tokens, a constant text, and mixtures of two policies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lang_envs.rollout import Policy, Turn
from lang_envs.task import Task
from lang_envs.tokenizers import size_and_unused
from lang_envs.utterances import spell

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

Histories = Sequence[NDArray[np.int32]]
Generators = Sequence[np.random.Generator]


class RandomTokens:
    """Uniformly random tokens of the vocabulary until one ends the utterance; the baseline of chance.

    ``tokenizer`` is the environment's, if it is not the task's own.
    """

    def __init__(self, task: Task[Any], tokenizer: PreTrainedTokenizerFast | None = None) -> None:
        tokenizer = task.tokenizer() if tokenizer is None else tokenizer
        size, unused = size_and_unused(tokenizer)
        self.tokens = np.setdiff1d(np.arange(size), unused).astype(np.int32)  # [k]
        self.end_id, self.limit = tokenizer.eos_token_id, task.max_utterance_tokens

    def act(self, histories: Histories, rngs: Generators) -> list[Turn]:
        """One utterance for each history."""
        drawn = self.tokens[np.array([rng.integers(len(self.tokens), size=self.limit) for rng in rngs])]  # [n, L]
        is_end = drawn == self.end_id
        lengths = np.where(is_end.any(axis=1), is_end.argmax(axis=1) + 1, self.limit)  # [n]
        return [Turn(tokens[:n]) for tokens, n in zip(drawn, lengths.tolist(), strict=True)]


class Say:
    """Always says the same text. ``tokenizer`` is the environment's, if it is not the task's own."""

    def __init__(self, text: str, task: Task[Any], tokenizer: PreTrainedTokenizerFast | None = None) -> None:
        tokenizer = task.tokenizer() if tokenizer is None else tokenizer
        self.text = text
        self.turn = Turn(spell(tokenizer, text, task.max_utterance_tokens))

    def act(self, histories: Histories, rngs: Generators) -> list[Turn]:
        """One utterance for each history."""
        return [self.turn] * len(histories)


class Mixture:
    """Each utterance is drawn from policy ``a`` with probability ``p``, otherwise from policy ``b``."""

    def __init__(self, p: float, a: Policy, b: Policy) -> None:
        if not 0 <= p <= 1:
            raise ValueError(f"p must be a probability from 0 to 1, got {p}.")
        self.p, self.a, self.b = p, a, b

    def act(self, histories: Histories, rngs: Generators) -> list[Turn]:
        """One utterance for each history."""
        first = [rng.random() < self.p for rng in rngs]
        said: dict[int, Turn] = {}
        for policy, wanted in ((self.a, True), (self.b, False)):
            rows = [row for row, is_first in enumerate(first) if is_first is wanted]
            if rows:
                turns = policy.act([histories[r] for r in rows], [rngs[r] for r in rows])
                said |= zip(rows, turns, strict=True)
        return [said[row] for row in range(len(histories))]
