"""What a Reddit comment is, whatever file it comes from, and which ones are left out."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from lang_envs.tokenizers import whole

DELETED = ("[deleted]", "[removed]", "[deleted by user]", "[ Removed by Reddit ]")
"""What Reddit shows in place of a text that its author or a moderator took back."""

HIGHEST_SCORE = 2**31 - 1
"""Of a comment, in either direction; what is beyond is no count of votes."""


@dataclass(frozen=True, slots=True)  # there may be millions
class Comment:
    """One comment, and what it answers."""

    id: str
    """unique within its files; the number of the record where they give none"""
    parent: str
    """the text it answers; empty where the file does not hold it"""
    text: str
    score: int | None = None
    """upvotes minus downvotes; None where the file has no scores"""
    label: str = ""
    """what people (or the generator) called it, in the words of its layout; empty where nobody did"""
    subreddit: str = ""
    """without r/; empty where unknown"""


@dataclass(frozen=True)
class Comments:
    """The comments of some files, in their order, and how many records were left out, by reason."""

    rows: tuple[Comment, ...]
    skipped: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows)


class Tidy:
    """Lets through comments that can be shown and said, once each; counts the others by reason in ``skipped``."""

    def __init__(self) -> None:
        self.skipped: Counter[str] = Counter()
        self._seen: set[str] = set()

    def __call__(self, comment: Comment) -> Comment | None:
        """The comment with its HTML entities and outer blanks resolved; None where it is left out."""
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
