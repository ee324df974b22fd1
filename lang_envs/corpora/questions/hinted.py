"""HintedCase: a question from a file with a scripted asker, who tells hints when asked back."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from lang_envs.corpora.questions.question import LETTERS, Question

MOST_HINT_WORDS = 60
_RULED_OUT = "I am sure that it is not {}."
_RULED_OUT_LETTER = re.compile(_RULED_OUT.format(f"([{LETTERS}])"))
_NO_MORE = "I cannot tell you more."
_WORD = re.compile(r"\w{3,}")


@dataclass(frozen=True)
class HintedCase:
    """A question whose asker tells the hint at the first clarifying question, then rules out wrong choices one by one.

    The right choice is never told, and two choices always remain. The content of a clarifying question does not matter.
    """

    question: Question

    def reply(self, asked: str, nth: int) -> str:
        """The asker's answer to the ``nth`` clarifying question, from 0."""
        if self._hint and nth == 0:
            return self._hint
        nth -= bool(self._hint)
        wrong = [i for i in range(len(self.question.choices)) if i != self.question.answer]
        if nth >= len(wrong) - 1:
            return _NO_MORE
        first = zlib.crc32(self.question.id.encode())
        return _RULED_OUT.format(LETTERS[wrong[(first + nth) % len(wrong)]])

    def remaining(self, replies: Sequence[str]) -> tuple[int, ...]:
        """The choices that are not ruled out; once the hint is told, those of them that share most words with it."""
        said = " ".join(replies)
        ruled_out = set(_RULED_OUT_LETTER.findall(said))
        left = [i for i, letter in enumerate(LETTERS[: len(self.question.choices)]) if letter not in ruled_out]
        told = set(_WORD.findall(self._hint.lower())) if self._hint in said else set()
        shared = [len(told & set(_WORD.findall(self.question.choices[i].lower()))) for i in left]
        return tuple(i for i, n in zip(left, shared, strict=True) if n == max(shared))

    def worth_asking(self, replies: Sequence[str]) -> tuple[str, ...]:
        """Questions whose answers are new."""
        return () if _NO_MORE in " ".join(replies) else ("What do you know about it?", "Can you tell me more?")

    @property
    def idle_questions(self) -> tuple[str, ...]:
        """Empty, because this asker tells something whatever is asked."""
        return ()

    @property
    def _hint(self) -> str:
        return " ".join(self.question.hint.split()[:MOST_HINT_WORDS])
