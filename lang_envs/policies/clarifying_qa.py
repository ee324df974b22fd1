"""Scripted assistants for :class:`~lang_envs.tasks.clarifying_qa.ClarifyingQA`, which see only a conversation's text.

They do not look at the right answer. Beyond the text of a question, they know which choice serves which need
(:class:`~lang_envs.corpora.questions.ambiguous.AmbiguousCase`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from lang_envs.corpora.questions import LETTERS
from lang_envs.corpora.questions.ambiguous import AmbiguousCase
from lang_envs.corpora.questions.hinted import HintedCase
from lang_envs.policies.any_task import Generators, Histories
from lang_envs.rollout import Turn
from lang_envs.speech import Speech
from lang_envs.tasks.clarifying_qa import ClarifyingQA
from lang_envs.tasks.clarifying_speech import THINK, THOUGHT, read
from lang_envs.utterances import spell

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

_ANSWERS = ("The answer is {}.", "I think the answer is {}.", "Then the answer is {}.")
_REASONS = ("You need {}.", "I would take {}.", "It should be {}.")
_MOST_CONVERSATIONS = 2**14


@dataclass(frozen=True)
class Reading:
    """What an assistant reads from a history."""

    case: AmbiguousCase | HintedCase
    replies: tuple[str, ...]
    """what the user has said to the agent"""
    turns_left: int
    answer: str | None
    """the letter that the agent's last turn stated"""


class _Script:
    """The common part of the assistants: it reads histories, speaks, and repeats an answer that was given."""

    def __init__(self, task: ClarifyingQA, tokenizer: PreTrainedTokenizerFast | None = None) -> None:
        self.task, self._tokenizer = task, task.tokenizer() if tokenizer is None else tokenizer
        self._numbers = {question: i for i, (_, (_, question)) in enumerate(task.openings)}
        self._speech, self._turns = Speech(task, self._tokenizer), dict[str, Turn]()
        self._read = lru_cache(maxsize=_MOST_CONVERSATIONS)(self._conversation)

    def act(self, histories: Histories, rngs: Generators) -> list[Turn]:
        """One turn in each conversation."""
        return [
            self._say(self._next(self._read(history.tobytes()), rng))
            for history, rng in zip(histories, rngs, strict=True)
        ]

    def _next(self, conversation: Reading, rng: np.random.Generator) -> str:
        if not self.task.thinking:
            return self._spoken(conversation, rng)
        left = len(conversation.case.remaining(conversation.replies))
        return f"{THINK}choices left: {left}{THOUGHT}{self._spoken(conversation, rng)}"

    def _spoken(self, conversation: Reading, rng: np.random.Generator) -> str:
        if conversation.answer is not None:
            return _answer(conversation.answer, rng)
        asked = self._questions(conversation) if conversation.turns_left > 1 else ()
        if asked:
            return asked[int(rng.random() * len(asked))]
        choices = self._choices(conversation)
        choice = choices[int(rng.random() * len(choices))]
        answer = _answer(LETTERS[choice], rng)
        if not isinstance(conversation.case, AmbiguousCase):  # a choice of a file can be as long as a whole turn
            return answer
        reason = _REASONS[int(rng.random() * len(_REASONS))].format(conversation.case.question.choices[choice])
        return f"{reason} {answer}"

    def _questions(self, conversation: Reading) -> Sequence[str]:
        """The questions of which the assistant asks one; empty if it answers instead."""
        return ()

    def _choices(self, conversation: Reading) -> Sequence[int]:
        """The choices of which the assistant answers one."""
        return conversation.case.remaining(conversation.replies)

    def _say(self, text: str) -> Turn:
        if text not in self._turns:
            self._turns[text] = Turn(spell(self._tokenizer, text, self.task.max_utterance_tokens))
        return self._turns[text]

    def _conversation(self, history: bytes) -> Reading:
        [turns] = self._speech.read([np.frombuffer(history, np.int32)])
        said = [words for role, words in turns if role == "assistant"]
        question, *replies = [words for role, words in turns if role == "user"] or [""]
        answer = read(said[-1]).letter if said else None
        return Reading(self._case(question), tuple(replies), self.task.max_turns - len(said), answer)

    def _case(self, question: str) -> AmbiguousCase | HintedCase:
        number = self._numbers.get(question)
        if number is None:  # a long question lost its first words, or a template put the rules before it
            ends = ((whole, i) for whole, i in self._numbers.items() if question)
            number = next((i for whole, i in ends if whole.endswith(question) or question.endswith(whole)), None)
        if number is None:
            raise ValueError(
                f"{type(self).__name__}: the history opens with no question of the task: {question[:80]!r}"
            )
        return self.task.cases[number]


class AskThenAnswer(_Script):
    """Asks about each need in which the choices still differ, then answers. This is the expert."""

    def _questions(self, conversation: Reading) -> Sequence[str]:
        return conversation.case.worth_asking(conversation.replies)


class AnswerAtOnce(_Script):
    """Answers one of the choices that agree with the question, without a question of its own."""


class RandomAnswer(_Script):
    """Answers a random choice, whatever the question says."""

    def _choices(self, conversation: Reading) -> Sequence[int]:
        return range(len(conversation.case.question.choices))


class AskIrrelevant(_Script):
    """Asks about needs in which the choices do not differ until one turn is left, then answers as ``AnswerAtOnce``.

    Raises:
        ValueError: the corpus is a file. Its users give information whatever is asked, so no question is irrelevant.
    """

    def __init__(self, task: ClarifyingQA, tokenizer: PreTrainedTokenizerFast | None = None) -> None:
        if not task.cases[0].idle_questions:
            raise ValueError("AskIrrelevant needs a built-in corpus: with a file no question is irrelevant")
        super().__init__(task, tokenizer)

    def _questions(self, conversation: Reading) -> Sequence[str]:
        return conversation.case.idle_questions


def _answer(letter: str, rng: np.random.Generator) -> str:
    return _ANSWERS[int(rng.random() * len(_ANSWERS))].format(letter)
