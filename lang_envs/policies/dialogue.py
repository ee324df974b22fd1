"""Policies for Dialogue that look replies up: the human's own, another wording of it, the nearest context's, or any.

They know where they are by what they read, so two contexts that read alike are one to them.
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

_KEY = 48  # characters at the end of a context by which those that may be it are found
_AT_ONCE = 64  # histories compared with all contexts in one step


class HumanReply:
    """What the human agent said in this context; where several contexts read the same, what one of them said."""

    def __init__(self, task: Dialogue, tokenizer: PreTrainedTokenizerFast | None = None) -> None:
        self.task, self._tokenizer = task, tokenizer or task.tokenizer()
        self._contexts = _Contexts(task, self._tokenizer)

    def act(self, histories: Histories, rngs: Generators) -> list[Turn]:
        """One reply for each history.

        Raises:
            ValueError: for a history that is no context of the task.
        """
        found = self._contexts.of(histories)
        chosen = [some[int(rng.integers(len(some)))] for some, rng in zip(found, rngs, strict=True)]
        return _turns([self.task.examples[context].response for context in chosen], self.task, self._tokenizer)


class Paraphrase:
    """What the agent of the built-in corpus meant in this context, in words drawn anew.

    Raises:
        ValueError: where the task has another corpus, whose meanings nobody knows.
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
            ValueError: for a history that is no context of the task.
        """
        said = []
        for some, rng in zip(self._contexts.of(histories), rngs, strict=True):
            example = self.task.examples[some[int(rng.integers(len(some)))]]
            said.append(self._meanings[example.turns][example.at].say(service.drawing(rng)))
        return _turns(said, self.task, self._tokenizer)


class RandomReply:
    """Any reply of the corpus, all equally likely: fluent, and mostly beside the point."""

    def __init__(self, task: Dialogue, tokenizer: PreTrainedTokenizerFast | None = None) -> None:
        self.task, self._tokenizer = task, tokenizer or task.tokenizer()

    def act(self, histories: Histories, rngs: Generators) -> list[Turn]:
        """One reply for each history."""
        examples = self.task.examples
        said = [examples[int(rng.integers(len(examples)))].response for rng in rngs]
        return _turns(said, self.task, self._tokenizer)


class NearestReply:
    """The reply that a human gave in the most similar other context: retrieval by the words of its last two turns.

    Similarity is the cosine of tf-idf vectors (logarithmic counts, smoothed inverse document frequencies).

    Args:
        task: what is played.
        tokenizer: where it is not the task's own.
        logged: where replies are looked up; the task itself by default, without the context at hand.
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
        documents = np.bincount(counts.indices, minlength=len(self._words))  # [W] contexts that hold a word
        self._idf = np.log((1 + counts.shape[0]) / (1 + documents)) + 1  # [W]
        self._logged = self._weighted(counts).T.tocsr()  # [W, n]

    def act(self, histories: Histories, rngs: Generators) -> list[Turn]:
        """One reply for each history; chance plays no part."""
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
        """How often each known word is in each document, sparse [n, W]."""
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
    """Which contexts of a task a history may be: it holds their last turns, or the last words of the last one."""

    def __init__(self, task: Dialogue, tokenizer: PreTrainedTokenizerFast) -> None:
        self.speech = Speech(task, tokenizer)
        self._contexts = [_as_text(example.context) for example in task.examples]
        self._ending: dict[str, list[int]] = defaultdict(list)
        for context, text in enumerate(self._contexts):
            self._ending[text[-_KEY:]].append(context)

    def of(self, histories: Histories) -> list[list[int]]:
        """For each history, the contexts it may be; at least one.

        Raises:
            ValueError: where it is none of the task's.
        """
        read = self.speech.read(histories)
        found = self.among(read)
        for turns, some in zip(read, found, strict=True):
            if not some:
                raise ValueError(f"the history is no context of the task: {turns!r}; is it the same corpus and split?")
        return found

    def among(self, read: list[Conversation]) -> list[list[int]]:
        """The same for conversations, and none where there is none."""
        return [self._of(_as_text(turns)) for turns in read]

    def _of(self, text: str) -> list[int]:
        whole = [i for i in self._ending.get(text[-_KEY:], ()) if self._contexts[i] == text]
        if whole:
            return whole
        text = text.removeprefix("\n")  # words that were left out may have stood before it
        near = self._ending.get(text[-_KEY:], ()) if len(text) >= _KEY else range(len(self._contexts))
        return [i for i in near if self._contexts[i].endswith(text)]


def _as_text(turns: Conversation) -> str:
    """What was said, a line to each turn, without who said it: some templates join turns, or open with an empty one."""
    return "\n".join(["", *(content for role, content in turns if role != "system" and content)])


def _last_words(turns: Conversation) -> list[str]:
    spoken = [message for message in turns if message.role != "system"]
    return [word for _, text in spoken[-2:] for word in re.findall(r"\w+", text.lower())]


def _turns(said: list[str], task: Dialogue, tokenizer: PreTrainedTokenizerFast) -> list[Turn]:
    return [Turn(spell(tokenizer, text, task.max_utterance_tokens)) for text in said]
