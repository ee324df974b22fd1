"""Policies for Dialogue that look up replies: the human one, a paraphrase of it, that of the nearest context, or any.

They find the context by the text of the history, so they cannot tell two contexts with the same text apart.
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np

from lang_envs.conversation import Conversation
from lang_envs.corpora.dialogues import service
from lang_envs.policies.any_task import Generators, Histories
from lang_envs.rollout import Turn
from lang_envs.speech import Speech
from lang_envs.tasks.dialogue import Dialogue
from lang_envs.utterances import spell

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

_KEY = 48  # characters at the end of a context that index it
_AT_ONCE = 64  # number of histories that are compared with all contexts in one step


class HumanReply:
    """Says what the human agent said in this context; if several contexts have the same text, it draws one of them."""

    def __init__(self, task: Dialogue, tokenizer: PreTrainedTokenizerFast | None = None) -> None:
        self.task, self._tokenizer = task, tokenizer or task.tokenizer()
        self._contexts = _Contexts(task, self._tokenizer)

    def act(self, histories: Histories, rngs: Generators) -> list[Turn]:
        """One reply for each history.

        Raises:
            ValueError: a history is not a context of the task.
        """
        found = self._contexts.of(histories)
        chosen = [some[int(rng.integers(len(some)))] for some, rng in zip(found, rngs, strict=True)]
        return _turns([self.task.examples[context].response for context in chosen], self.task, self._tokenizer)


class Paraphrase:
    """Says what the agent of the built-in corpus meant in this context, in newly drawn words.

    Raises:
        ValueError: the task has another corpus, whose meanings are not known.
    """

    def __init__(self, task: Dialogue, tokenizer: PreTrainedTokenizerFast | None = None) -> None:
        if task.corpus != "service":
            raise ValueError(f"only the meanings of the corpus 'service' are known, got {task.corpus!r}")
        self.task, self._tokenizer = task, tokenizer or task.tokenizer()
        self._contexts = _Contexts(task, self._tokenizer)
        self._meanings = {c.dialogue.turns: c.meanings for c in service.conversations()}

    def act(self, histories: Histories, rngs: Generators) -> list[Turn]:
        """One reply for each history.

        Raises:
            ValueError: a history is not a context of the task.
        """
        said = []
        for some, rng in zip(self._contexts.of(histories), rngs, strict=True):
            example = self.task.examples[some[int(rng.integers(len(some)))]]
            said.append(self._meanings[example.turns][example.at].say(service.drawing(rng)))
        return _turns(said, self.task, self._tokenizer)


class RandomReply:
    """Says a uniformly random reply of the corpus, which is fluent and mostly unrelated to the context."""

    def __init__(self, task: Dialogue, tokenizer: PreTrainedTokenizerFast | None = None) -> None:
        self.task, self._tokenizer = task, tokenizer or task.tokenizer()

    def act(self, histories: Histories, rngs: Generators) -> list[Turn]:
        """One reply for each history."""
        examples = self.task.examples
        said = [examples[int(rng.integers(len(examples)))].response for rng in rngs]
        return _turns(said, self.task, self._tokenizer)


class NearestReply:
    """Says the reply that a human gave in the most similar other context, by the words of its last two turns.

    Similarity is the cosine of tf-idf vectors (logarithmic counts, smoothed inverse document frequencies).

    Args:
        task: the task.
        tokenizer: the environment's, if it is not the task's own.
        logged: the task whose replies are looked up; None: ``task`` itself, without the current context.
    """

    def __init__(
        self, task: Dialogue, tokenizer: PreTrainedTokenizerFast | None = None, logged: Dialogue | None = None
    ) -> None:
        self.task, self.logged = task, logged or task
        self._tokenizer = tokenizer or task.tokenizer()
        self._contexts = _Contexts(self.logged, self._tokenizer)
        self._words: dict[str, int] = {}
        for example in self.logged.examples:
            for word in _last_words(example.context):
                self._words.setdefault(word, len(self._words))
        counts = self._counts([_last_words(example.context) for example in self.logged.examples])
        documents = np.bincount(counts.indices, minlength=len(self._words))  # [W] number of contexts with each word
        self._idf = np.log((1 + counts.shape[0]) / (1 + documents)) + 1  # [W]
        self._logged = self._weighted(counts).T.tocsr()  # [W, n]

    def act(self, histories: Histories, rngs: Generators) -> list[Turn]:
        """One reply for each history; nothing is random."""
        said: list[str] = []
        for start in range(0, len(histories), _AT_ONCE):
            some = histories[start : start + _AT_ONCE]
            read = self._contexts.speech.read(some)
            nearness = (self._weighted(self._counts([_last_words(turns) for turns in read])) @ self._logged).toarray()
            for row, own in enumerate(self._contexts.among(read)):
                nearness[row, own] = -1
            said += [self.logged.examples[i].response for i in nearness.argmax(axis=1).tolist()]
        return _turns(said, self.task, self._tokenizer)

    def _counts(self, documents: list[list[str]]) -> Any:
        """The count of each known word in each document, sparse [n, W]."""
        from scipy.sparse import csr_array

        rows = [
            (row, self._words[word]) for row, words in enumerate(documents) for word in words if word in self._words
        ]
        row, column = np.array(rows, np.int64).reshape(-1, 2).T
        counts = csr_array((np.ones(len(row)), (row, column)), shape=(len(documents), max(1, len(self._words))))
        counts.sum_duplicates()
        return counts

    def _weighted(self, counts: Any) -> Any:
        """Tf-idf vectors of length 1, sparse [n, W]."""
        weighted = counts.copy()
        weighted.data = (1 + np.log(counts.data)) * self._idf[counts.indices]
        length = np.sqrt(weighted.multiply(weighted).sum(axis=1))  # [n]
        weighted.data /= np.repeat(np.maximum(length, 1e-12), np.diff(weighted.indptr))
        return weighted


class _Contexts:
    """Finds the contexts of a task that a history may show: their last turns, or the last words of the last turn."""

    def __init__(self, task: Dialogue, tokenizer: PreTrainedTokenizerFast) -> None:
        self.speech = Speech(task, tokenizer)
        self._contexts = [_as_text(example.context) for example in task.examples]
        self._ending: dict[str, list[int]] = defaultdict(list)
        for context, text in enumerate(self._contexts):
            self._ending[text[-_KEY:]].append(context)

    def of(self, histories: Histories) -> list[list[int]]:
        """For each history the contexts that it may show, at least one.

        Raises:
            ValueError: a history shows no context of the task.
        """
        read = self.speech.read(histories)
        found = self.among(read)
        for turns, some in zip(read, found, strict=True):
            if not some:
                raise ValueError(f"the history is no context of the task: {turns!r}; is it the same corpus and split?")
        return found

    def among(self, read: list[Conversation]) -> list[list[int]]:
        """For each conversation the contexts that it may show; the list may be empty."""
        return [self._of(_as_text(turns)) for turns in read]

    def _of(self, text: str) -> list[int]:
        whole = [i for i in self._ending.get(text[-_KEY:], ()) if self._contexts[i] == text]
        if whole:
            return whole
        text = text.removeprefix("\n")  # the words before it may have been left out
        near = self._ending.get(text[-_KEY:], ()) if len(text) >= _KEY else range(len(self._contexts))
        return [i for i in near if self._contexts[i].endswith(text)]


def _as_text(turns: Conversation) -> str:
    """The turns, one per line, without speakers, because some templates join turns or open with an empty turn."""
    return "\n".join(["", *(content for role, content in turns if role != "system" and content)])


def _last_words(turns: Conversation) -> list[str]:
    spoken = [message for message in turns if message.role != "system"]
    return [word for _, text in spoken[-2:] for word in re.findall(r"\w+", text.lower())]


def _turns(said: list[str], task: Dialogue, tokenizer: PreTrainedTokenizerFast) -> list[Turn]:
    return [Turn(spell(tokenizer, text, task.max_utterance_tokens)) for text in said]
