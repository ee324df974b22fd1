"""Reads Reddit comments from CSV files: both layouts from Kaggle, labelled replies, and top posts.

The files have errors. Records whose quotes do not match, or with too few fields, are counted and left out.
"""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from lang_envs.corpora.files import CorpusError, lines
from lang_envs.corpora.reddit.comment import HIGHEST_SCORE, Comment


class Record(NamedTuple):
    """One row of a table: its number from 1, its fields by column, and its file."""

    number: int
    fields: dict[str, str]
    path: Path


class Layout(NamedTuple):
    """A kind of CSV file, recognised by its columns."""

    name: str
    columns: frozenset[str]
    """the columns that it must have"""
    comment: Callable[[Record], Comment]
    """makes a comment of a record; raises ValueError with the reason for a record to leave out"""


def _kaggle_pair(record: Record) -> Comment:
    fields = record.fields
    return Comment(
        id=fields["id"],
        parent=fields["parent_text"],
        text=fields["text"],
        score=_score(fields["score"]),
        subreddit=fields.get("subreddit", ""),
    )


def _kaggle_month(record: Record) -> Comment:
    fields = record.fields
    return Comment(
        id=f"{record.path.name}:{record.number}",
        parent="",
        text=fields["body"],
        score=_score(fields["score"]),
        subreddit=fields["subreddit"],
    )


def _labelled_reply(record: Record) -> Comment:
    fields = record.fields
    if fields["label"] not in ("0", "1", "0.0", "1.0"):
        raise ValueError("label is not 0 or 1")
    return Comment(id=fields["id"], parent=fields["parent"], text=fields["text"], label=fields["label"][0])


def _top_post(record: Record) -> Comment:
    fields = record.fields
    return Comment(
        id=fields["id"],
        parent="",
        text=fields["title"],
        score=_score(fields["score"]),
        subreddit=record.path.name.split(".")[0],
    )


LAYOUTS = (
    Layout("Kaggle comments_positive/negative", frozenset({"id", "text", "score", "parent_text"}), _kaggle_pair),
    Layout("Kaggle RC month", frozenset({"subreddit", "body", "score"}), _kaggle_month),
    Layout("labelled replies", frozenset({"id", "text", "parent", "label"}), _labelled_reply),
    Layout("top posts", frozenset({"id", "title", "score", "selftext"}), _top_post),
)


def header_of(line: str) -> list[str]:
    """The column names in a file's first line."""
    try:
        return next(csv.reader([line]), [])
    except csv.Error:
        return []


def layout_of(header: list[str]) -> Layout | None:
    """The layout with these column names; None if there is none."""
    return next((layout for layout in LAYOUTS if layout.columns <= set(header)), None)


def read_csv(path: Path, layout: Layout, skipped: Counter[str]) -> Iterator[Comment]:
    """The comments of a file as they are; records without a comment are counted in ``skipped``."""
    for record in _records(path, skipped):
        try:
            comment = layout.comment(record)
        except ValueError as error:
            skipped[str(error)] += 1
            continue
        yield comment


def _records(path: Path, skipped: Counter[str]) -> Iterator[Record]:
    reader = csv.reader(line for _, line in lines(path))
    try:
        header = next(filter(None, reader))  # after blank lines, if any
    except csv.Error as error:
        raise CorpusError(f"{path}, header: expected CSV ({error}); was the file cut short?") from error
    number = 0
    while True:
        number += 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error:  # an open quote consumes lines up to csv's limit; the reader continues after them
            skipped["quotes do not match"] += 1
            continue
        if not fields:  # a blank line is no record
            continue
        if len(fields) != len(header):
            skipped["wrong number of fields"] += 1
            continue
        yield Record(number, dict(zip(header, fields, strict=True)), path)


def _score(text: str) -> int:
    """The score in a field, written as 12, or as 12.0 if the column once had missing values."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (number.is_integer() and abs(number) <= HIGHEST_SCORE):
        raise ValueError("score is not a number")
    return int(number)
