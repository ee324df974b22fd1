"""Reads files with one Reddit comment per line: pushshift's JSON dumps, and GoEmotions' tab-separated table."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from lang_envs.corpora.files import CorpusError, lines, parse
from lang_envs.corpora.reddit.comment import HIGHEST_SCORE, Comment

EMOTIONS = (
    "admiration", "amusement", "anger", "annoyance", "approval", "caring", "confusion", "curiosity", "desire",
    "disappointment", "disapproval", "disgust", "embarrassment", "excitement", "fear", "gratitude", "grief", "joy",
    "love", "nervousness", "optimism", "pride", "realization", "relief", "remorse", "sadness", "surprise", "neutral",
)  # fmt: skip
"""The labels of GoEmotions, in the order of their numbers."""


def is_emotions(line: str) -> bool:
    """Whether a line is ``text, label numbers, comment id``, separated by tabs."""
    return _emotional(line) is not None


def read_emotions(path: Path, skipped: Counter[str]) -> Iterator[Comment]:
    """The comments of a GoEmotions table; their labels are the names of the emotions, joined by commas."""
    for _, line in lines(path):
        if not line.strip():
            continue
        record = _emotional(line)
        if record is None:
            skipped["wrong number of fields"] += 1
            continue
        text, numbers, comment_id = record
        if not all(0 <= number < len(EMOTIONS) for number in numbers):
            skipped["unknown emotion"] += 1
            continue
        yield Comment(comment_id, parent="", text=text, label=",".join(EMOTIONS[number] for number in numbers))


def _emotional(line: str) -> tuple[str, list[int], str] | None:
    """Text, label numbers and id of a line; None if it has other fields. A text that holds quotes is quoted."""
    try:
        text, numbers, comment_id = next(csv.reader([line], delimiter="\t"), [])
        return text, [int(number) for number in numbers.split(",")], comment_id
    except (csv.Error, ValueError):
        return None


def read_dump(path: Path, skipped: Counter[str], texts: dict[str, str]) -> Iterator[Comment]:
    """The comments of a pushshift dump whose parent comes before them, in this file or in one read earlier.

    Args:
        path: JSON lines of comments (``id, parent_id, body, score``) or of posts (``id, title, selftext``).
        skipped: counts the records that are left out, by reason.
        texts: the texts so far, by full name (``t1_`` and a comment's id, ``t3_`` and a post's id); texts are added.
    """
    for _, line in lines(path):
        if not line.strip():
            continue
        try:
            record = parse(line, str(path))
        except CorpusError:
            skipped["not JSON"] += 1
            continue
        if not isinstance(record, dict) or not isinstance(record.get("id"), str):
            skipped["no id"] += 1
        elif isinstance(record.get("title"), str):
            texts["t3_" + record["id"]] = f"{record['title']}\n\n{_text(record, 'selftext')}".strip()
        else:
            comment = _dumped(record, texts, skipped)
            if isinstance(record.get("body"), str):  # also if its score is hidden, because others may answer it
                texts["t1_" + record["id"]] = record["body"]
            if comment is not None:
                if comment.parent:
                    yield comment
                else:
                    skipped["parent not in the files"] += 1


def _dumped(record: dict[str, object], texts: dict[str, str], skipped: Counter[str]) -> Comment | None:
    body, score = record.get("body"), record.get("score")
    if not isinstance(body, str):
        skipped["no body"] += 1
        return None
    if not isinstance(score, int) or isinstance(score, bool) or abs(score) > HIGHEST_SCORE:
        skipped["score is not a number"] += 1
        return None
    return Comment(
        id=str(record["id"]),
        parent=texts.get(_text(record, "parent_id"), ""),
        text=body,
        score=score,
        subreddit=_text(record, "subreddit"),
    )


def _text(record: dict[str, object], key: str) -> str:
    """An optional field; empty if it is not a text."""
    value = record.get(key)
    return value if isinstance(value, str) else ""
