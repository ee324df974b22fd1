"""Question: a multiple-choice question from any file."""

from __future__ import annotations

from dataclasses import dataclass

from lang_envs.corpora.records import brief, shown
from lang_envs.tokenizers import whole

LETTERS = "ABCDE"
FEWEST, MOST = 3, len(LETTERS)


@dataclass(frozen=True)
class Question:
    """A question with three to five choices.

    Raises:
        ValueError: a field is empty, there are too few or too many choices, there is no such answer, or a text holds
            half a character; the message names the field.
    """

    id: str
    """unique in its corpus"""
    text: str
    choices: tuple[str, ...]
    answer: int
    """index of the right choice"""
    context: str = ""
    """a passage that the answering side may read"""
    hint: str = ""
    """what only the asker knows, and tells when asked"""

    def __post_init__(self) -> None:
        for field in ("id", "text"):
            value = getattr(self, field)
            if not isinstance(value, str) or not value.strip():
                raise ValueError(f"field {field!r}: expected some text, got {shown(value)}")
        if not FEWEST <= len(self.choices) <= MOST:
            raise ValueError(f"field 'choices': expected {FEWEST} to {MOST} of them, got {len(self.choices)}")
        for choice in self.choices:
            if not isinstance(choice, str) or not choice.strip():
                raise ValueError(f"field 'choices': expected texts, got {shown(choice)}")
        for piece in (self.text, *self.choices, self.context, self.hint):
            if not whole(piece):
                raise ValueError(f"the text {brief(piece)} holds half a character; take it out of the file")
        if not 0 <= self.answer < len(self.choices):
            raise ValueError(f"field 'answer': expected a place below {len(self.choices)}, got {self.answer}")

    @property
    def letter(self) -> str:
        """The letter of the right choice. Choices get the letters from A on, whatever the labels in their file."""
        return LETTERS[self.answer]
