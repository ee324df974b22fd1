"""Comment: a Reddit comment from any file; and the rules by which comments are left out."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from lang_envs.tokenizers import whole

DELETED = ("[deleted]", "[removed]", "[deleted by user]", "[ Removed by Reddit ]")
"""The texts that Reddit shows for a comment that its author or a moderator removed."""

HIGHEST_SCORE = 2**31 - 1
"""Largest absolute score of a comment; a larger number is not a count of votes."""


@dataclass(frozen=True, slots=True)  # there may be millions
class Comment:
    """One comment, and the text that it answers."""

    id: str
    """unique within its files; the number of the record if the file has no ids"""
    parent: str
    """the text that it answers; empty if the file does not hold it"""
    text: str
    score: int | None = None
    """upvotes minus downvotes; None if the file has no scores"""
    label: str = ""
    """its label from people or the generator, in the words of its layout; empty if there is none"""
    subreddit: str = ""
    """without r/; empty if unknown"""


@dataclass(frozen=True)
class Comments:
    """The comments of some files, in their order, and the number of records that were left out, by reason."""

    rows: tuple[Comment, ...]
    skipped: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows)


class Tidy:
    """Keeps comments that are usable, once each; counts the others by reason in ``skipped``."""

    def __init__(self) -> None:
        self.skipped: Counter[str] = Counter()
        self._seen: set[str] = set()

    def __call__(self, comment: Comment) -> Comment | None:
        """The comment with decoded HTML entities and without outer blanks; None if it is left out."""
        comment = replace(comment, text=_plain(comment.text), parent=_plain(comment.parent))
        reason = self._fault(comment)
        if reason is not None:
            self.skipped[reason] += 1
            return None
        self._seen.add(comment.id)
        return comment

    def _fault(self, comment: Comment) -> str | None:
        both = comment.text + comment.parent
        named = comment.id + comment.subreddit
        if comment.text in DELETED:
            return "deleted"
        if comment.parent in DELETED:
            return "parent deleted"
        if not comment.text:
            return "empty"
        if "\0" in both:
            return "NUL bytes"
        if not (whole(both) and whole(named)):
            return "broken characters"
        return "duplicate id" if comment.id in self._seen else None


def _plain(text: str) -> str:
    # Dumps escape &, < and > in the text, some of them twice.
    return html.unescape(html.unescape(text)).strip() if "&" in text else text.strip()
