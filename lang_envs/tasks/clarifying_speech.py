"""Reads a turn of the agent in :class:`~lang_envs.tasks.clarifying_qa.ClarifyingQA`."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from lang_envs.corpora.questions import LETTERS

THINK, THOUGHT = "<think>", "</think>"
_THOUGHTS = re.compile(f"{THINK}(.*?)({THOUGHT}|$)", re.DOTALL)
_LETTER = rf"[(\"'*]*([{LETTERS}])\b"
_STATED = re.compile(rf"(?i:\b(?:answer|choice|option)\s*(?:is|:)\s*(?:(?:option|choice)\s+)?){_LETTER}")
_BARE = re.compile(rf"{_LETTER}[)\"'*.]*")
_FORM = re.compile(rf"(?i:\banswer is )\(?[{LETTERS}]\b")


class Said(NamedTuple):
    """One turn of the agent."""

    spoken: str
    """the text without the thoughts"""
    thought: bool
    """whether there is a thought between the tags"""
    letter: str | None
    """the last answer that it states; None if it states none"""
    formed: bool
    """whether it states one answer, as "answer is X", outside the tags, which must be closed and well placed"""
    asks: bool
    """whether it is a question: it has a question mark and states no answer"""


@lru_cache(maxsize=2**16)
def read(utterance: str) -> Said:
    """Reads an utterance.

    An answer is "the answer is B", "Answer: (B)", "the right choice is B" and the like, or the letter alone. The letter
    must be a capital, because "the answer is a" may be the beginning of "the answer is a jacket".
    """
    thoughts: list[tuple[str, str]] = _THOUGHTS.findall(utterance) if THINK in utterance else []
    spoken = (_THOUGHTS.sub(" ", utterance) if thoughts else utterance).strip()
    bare = _BARE.fullmatch(spoken)
    letters = [bare[1]] if bare else _STATED.findall(spoken)
    formed = len(set(letters)) == 1 and _FORM.search(spoken) is not None
    closed = all(end for _, end in thoughts) and THOUGHT not in spoken
    return Said(
        spoken,
        any(text.strip() for text, _ in thoughts),
        letters[-1] if letters else None,
        formed and closed,
        not letters and "?" in spoken,
    )
