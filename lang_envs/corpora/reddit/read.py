"""Reads files of Reddit comments; the first line tells the layout."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from lang_envs.corpora.by_name import located
from lang_envs.corpora.files import CorpusError, lines, parse
from lang_envs.corpora.reddit.comment import Comment, Comments, Tidy
from lang_envs.corpora.reddit.lines import is_emotions, read_dump, read_emotions
from lang_envs.corpora.reddit.tables import LAYOUTS, header_of, layout_of, read_csv

PathLike = str | os.PathLike[str]
_TABLES = {".csv", ".tsv", ".json", ".jsonl", ".zst"}


def read_comments(paths: PathLike | Sequence[PathLike], limit: int | None = None) -> Comments:
    """Reads comments from one file or several, plain or compressed.

    * Kaggle's ``comments_positive.csv`` and ``comments_negative.csv``: comments with score and parent.
    * Kaggle's ``kaggle_RC_2019-05.csv``: comments with score and subreddit, without parent.
    * Pushshift dumps, JSON lines: comments with score, joined to their parents. A parent must come before its answers:
      to get answers to posts, name a dump of posts before the dump of comments.
    * GoEmotions (TSV ``text, label numbers, id``): comments with emotions, without parent.
    * CSV ``id, text, parent, label``: replies labelled toxic (1) or not (0).
    * CSV of top posts (``id, title, score, selftext ...``): titles with score; the file is named after its subreddit.

    Records without a usable comment are left out and counted by reason in ``skipped``: deleted, empty, a score that is
    not a number, NUL bytes, quotes that do not match, an id seen before ...

    Args:
        paths: files or folders in the order of reading, or names in the folder ``reddit`` of ``$LANG_ENVS_DATA``
            (``lang_envs.corpora.by_name``). In a folder, the tables (.csv, .tsv, .json, .jsonl, .zst, also compressed)
            are read in the order of their names.
        limit: largest number of comments from each file. None reads all into memory, which takes about a gigabyte for
            a million comments.

    Raises:
        CorpusError: a file is missing, damaged or of another kind, or there is no comment in any file.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be at least 1 or None, got {limit}")
    named = [paths] if isinstance(paths, (str, os.PathLike)) else paths
    files = [file for name in named for place in located("reddit", name) for file in _files(place)]
    tidy, texts = Tidy(), dict[str, str]()
    rows: list[Comment] = []
    for path in files:
        rows += islice(filter(None, map(tidy, _raw(path, tidy.skipped, texts))), limit)
    if not rows:
        where = ", ".join(map(str, named))
        raise CorpusError(f"{where}: expected Reddit comments, found none; left out were {dict(tidy.skipped)}")
    return Comments(tuple(rows), dict(tidy.skipped))


def _files(place: Path) -> list[Path]:
    """The file itself, or the tables in a folder, without the licences and descriptions beside them."""
    if not place.is_dir():
        return [place]
    return sorted(path for path in place.iterdir() if path.is_file() and _TABLES & {*path.suffixes})


def _raw(path: Path, skipped: Counter[str], texts: dict[str, str]) -> Iterator[Comment]:
    first = next((line for _, line in lines(path) if line.strip()), "")
    layout = layout_of(header_of(first))
    if layout is not None:
        return read_csv(path, layout, skipped)
    if is_emotions(first):
        return read_emotions(path, skipped)
    if _is_dump(first):
        return read_dump(path, skipped, texts)
    known = "; ".join(f"{layout.name}: {', '.join(sorted(layout.columns))}" for layout in LAYOUTS)
    raise CorpusError(
        f"{path}, line 1: expected the header of a CSV file ({known}), a pushshift record in JSON, or GoEmotions' "
        f"three fields between tabs; got {first.strip()[:80]!r}"
    )


def _is_dump(line: str) -> bool:
    try:
        record = parse(line, "")
    except CorpusError:
        return False
    return isinstance(record, dict) and bool({"body", "title"} & record.keys())
