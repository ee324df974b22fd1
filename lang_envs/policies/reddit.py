"""Policies for Reddit: scripted commenters of different tones, and the comments of the corpus."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, get_args

import numpy as np
from numpy.typing import NDArray

from lang_envs.corpora.reddit.generated import Tone, pick, subject_of, write
from lang_envs.corpora.reddit.topics import TOPICS
from lang_envs.policies.any_task import Generators, Histories
from lang_envs.rollout import Turn
from lang_envs.speech import Speech
from lang_envs.tasks.reddit import Reddit
from lang_envs.tokenizers import transcripts
from lang_envs.utterances import spell

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


class Commenter:
    """Composes a comment of one tone from the built-in phrases, about a thing that the text names, or about any thing.

    Args:
        task: the task.
        tone: "kind" (the expert), "neutral", "rude" or "toxic".
        tokenizer: the environment's, if it is not the task's own.
    """

    def __init__(self, task: Reddit, tone: Tone = "kind", tokenizer: PreTrainedTokenizerFast | None = None) -> None:
        if tone not in get_args(Tone):
            raise ValueError(f"tone must be one of {get_args(Tone)}, got {tone!r}")
        self.tone, self.limit = tone, task.max_utterance_tokens
        self._tokenizer = task.tokenizer() if tokenizer is None else tokenizer
        self._speech = Speech(task, self._tokenizer)

    def act(self, histories: Histories, rngs: Generators) -> list[Turn]:
        """One comment for each history."""
        read = self._speech.read(histories)
        heard = ["\n".join(message.content for message in messages) for messages in read]
        texts = [self._comment(text, rng) for text, rng in zip(heard, rngs, strict=True)]
        return [Turn(spell(self._tokenizer, text, self.limit)) for text in texts]

    def _comment(self, history: str, rng: np.random.Generator) -> str:
        subject = subject_of(history)
        if subject is None:
            return write(rng, self.tone, pick(rng, TOPICS))
        return write(rng, self.tone, *subject)


class Logged:
    """Says a random comment of the corpus on the text; ``tokenizer`` is the environment's, if not the task's own."""

    def __init__(self, task: Reddit, tokenizer: PreTrainedTokenizerFast | None = None) -> None:
        self.limit = task.max_utterance_tokens
        self._tokenizer = task.tokenizer() if tokenizer is None else tokenizer
        self._comments: dict[bytes, list[str]] = {}  # tokens that the agent reads -> comments
        spelled = Speech(task, self._tokenizer).openings([opening.heard for opening in task.openings])
        for context, tokens in enumerate(spelled):
            self._comments.setdefault(_key(tokens), []).extend(task.logged_replies(context))

    def act(self, histories: Histories, rngs: Generators) -> list[Turn]:
        """One comment for each history.

        Raises:
            ValueError: a text is not in the task's corpus.
        """
        turns = []
        for history, rng in zip(histories, rngs, strict=True):
            comments = self._comments.get(_key(history))
            if comments is None:
                text = transcripts(self._tokenizer, [history])[0]
                raise ValueError(f"expected a text of the task's corpus in its own tokenizer, got {text!r}")
            turns.append(Turn(spell(self._tokenizer, pick(rng, comments), self.limit)))
        return turns


def _key(tokens: Sequence[int] | NDArray[np.int32]) -> bytes:
    return np.asarray(tokens, np.int32).tobytes()
