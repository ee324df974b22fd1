"""Wordle's tokens, its rules, and a game as a plain value."""

from __future__ import annotations

from typing import NamedTuple

from lang_envs.tasks.wordle_patterns import SOLVED, Feedback, WordList, colours

ALPHABET = "abcdefghijklmnopqrstuvwxyz"
START, END, REPLY_END, OVER, PAD = "<a>", "</a>", "</s>", "</eod>", "<|pad|>"
MARKERS = ("<g>", "<b>", "<y>", PAD, END, REPLY_END, "<s>", START, OVER)
VOCABULARY = {token: i for i, token in enumerate((*ALPHABET, *MARKERS))}
_SOLVED = colours(SOLVED)


class WordleState(NamedTuple):
    """A game so far. An invalid guess changes only the number of utterances."""

    turn: int = 0
    """number of utterances"""
    guesses: tuple[str, ...] = ()
    """the valid guesses"""
    feedback: tuple[str, ...] = ()
    """the feedback to each of them, as five of the letters g, y, b"""
    hidden: str | None = None
    """the hidden word; None if it is drawn anew at every turn"""

    @property
    def solved(self) -> bool:
        """Whether the last valid guess was the hidden word."""
        return bool(self.feedback) and self.feedback[-1] == _SOLVED


class Rules(NamedTuple):
    """The rules of a game; see :class:`lang_envs.tasks.wordle.Wordle`."""

    lexicon: WordList
    feedback: Feedback
    require_dictionary: bool
    resample: bool
    """whether the hidden word is drawn anew at every turn"""
    max_turns: int
