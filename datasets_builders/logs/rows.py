"""Reads the rows of a log one after another from a file, a folder or the hub, without holding the log in memory.

Rows are numbered from 1; rows of JSON lines have the number of their line. A row that is not an object, or a line that
is not JSON, is returned as a ``Fault`` with the reason.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from datasets_builders.logs.talk import Fault, Row
from lang_envs.corpora import arrow_files, csv_files
from lang_envs.corpora.files import CorpusError, first_character, lines, parse
from lang_envs.corpora.json_stream import JsonStream
from lang_envs.corpora.records import shown

HUB = "hub:"
_COMPRESSED = (".gz", ".bz2", ".xz", ".zst", ".zip")
_TABLES = {".csv": ",", ".tsv": "\t"}
_JSON = (".json", ".jsonl", ".ndjson")
KINDS = f".csv, .tsv, .json, .jsonl, .ndjson (each also with {', '.join(_COMPRESSED)}), .parquet, .arrow"
Source = str | os.PathLike[str]


def rows_of(source: Source, split: str = "train") -> Iterator[tuple[int, Row | Fault]]:
    """The rows of a log with their numbers, as a stream.

    Args:
        source: a file of :data:`KINDS`, a folder of ``datasets.save_to_disk``, or "hub:owner/name", which uses the
            network.
        split: the split of a data set on the hub.

    Raises:
        CorpusError: there is no such file, or it cannot be read further; the message names the row.
    """
    if str(source).startswith(HUB):
        found = _hub(str(source).removeprefix(HUB), split)
    else:
        found = _of_path(Path(source))
    for number, row in found:
        yield number, _row(row)


def _row(value: Any) -> Row | Fault:
    if isinstance(value, Mapping | Fault):
        return value
    return Fault("no object", f"expected an object, got {shown(value)}")


def _of_path(path: Path) -> Iterator[tuple[int, Any]]:
    if path.is_dir():
        return _from_one(arrow_files.saved(path))
    if not path.exists():
        raise CorpusError(f"there is no file {str(path)!r}")
    compressed = path.suffix.lower() in _COMPRESSED
    ending = (Path(path.stem) if compressed else path).suffix.lower()
    if ending == ".parquet" and not compressed:
        return _from_one(arrow_files.parquet(path))
    if ending == ".arrow" and not compressed:
        return _from_one(arrow_files.arrow(path))
    if ending in _TABLES:
        return csv_files.rows(path, delimiter=_TABLES[ending])
    opens = first_character(path) if ending in (*_JSON, "", ".txt") else ""
    if opens == "[":
        return _array(path)
    if opens == "{" or ending in _JSON:
        return _json_lines(path)
    raise CorpusError(f"{path}: expected a file of one of the kinds {KINDS}; name it after its kind")


def _from_one(found: Iterable[tuple[int, Any]]) -> Iterator[tuple[int, Any]]:
    return ((number + 1, row) for number, row in found)


def _json_lines(path: Path) -> Iterator[tuple[int, Any]]:
    """The values of lines that are not blank."""
    for number, line in lines(path):
        if line.strip():
            try:
                yield number, parse(line.rstrip(), str(path), number)
            except CorpusError as error:
                yield number, Fault("a line that is no JSON", str(error))


def _array(path: Path) -> Iterator[tuple[int, Any]]:
    """The elements of a file that is one JSON array."""
    with JsonStream(path) as stream:
        for number, _ in enumerate(stream.elements(), 1):
            yield number, stream.value()
        stream.end()


def _hub(name: str, split: str) -> Iterator[tuple[int, Any]]:
    import datasets

    try:
        found = datasets.load_dataset(name, split=split, streaming=True, trust_remote_code=False)
        yield from enumerate(found, 1)
    except (OSError, ValueError, RuntimeError) as error:
        raise CorpusError(f"hub:{name}, split {split!r}: cannot be read ({error})") from error


class Place(NamedTuple):
    """The place of a row: its source and its number from 1 on."""

    source: str
    """empty for rows that were passed in as objects"""
    row: int

    def __str__(self) -> str:
        return f"{self.source}, row {self.row}" if self.source else f"row {self.row}"


Numbered = Iterable[tuple[Place, Row]]
"""Rows with their places."""
Read = Iterable[tuple[Place, Row | Fault]]
"""Rows with their places as they are read; a row that cannot be read is a ``Fault``."""


def of_sources(sources: Iterable[Source], split: str = "train") -> Iterator[tuple[Place, Row | Fault]]:
    """The rows of one source after another; see :func:`rows_of`."""
    for source in sources:
        for number, row in rows_of(source, split):
            yield Place(str(source), number), row


def as_given(rows: Iterable[Any]) -> Iterator[tuple[Place, Row | Fault]]:
    """The rows of objects that were passed in, with their places."""
    for number, row in enumerate(rows, 1):
        yield Place("", number), _row(row)


def portions(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """Lists of at most ``size`` items."""
    stream = iter(items)
    while some := list(islice(stream, size)):
        yield some
