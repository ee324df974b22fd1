"""Reads rows of CSV files.

A field is limited as a record is (``LANG_ENVS_MAX_RECORD_MIB``). A quote that is never closed is an error, because the
field would extend to the end of the file.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Iterator

from lang_envs.corpora.files import CorpusError, lines
from lang_envs.corpora.limits import largest_record
from lang_envs.corpora.records import brief

Row = dict[str, str | None]
"""column -> field; None if a row is too short. Fields beyond the header's are left out."""


def rows(path: str | os.PathLike[str], columns: Iterable[str] = (), delimiter: str = ",") -> Iterator[tuple[int, Row]]:
    """The rows of a file with a header, each with its number from 1; blank lines are skipped.

    Args:
        path: the file, plain or compressed.
        columns: the columns that it must have.
        delimiter: the character between two fields.

    Raises:
        CorpusError: the file cannot be read, is not CSV, has two columns of one name, or lacks one of ``columns``.
    """
    found = lists((line for _, line in lines(path)), str(path), first=0, delimiter=delimiter)
    _, header = next(found, (0, []))
    if twice := next((name for name in header if header.count(name) > 1), None):
        raise CorpusError(f"{path}, header: expected columns of different names, got {brief(twice)} twice")
    missing = [column for column in columns if column not in header]
    if missing:
        raise CorpusError(f"{path}, header: expected the columns {missing}, got {brief(header)}")
    for number, fields in found:
        known = fields[: len(header)]
        yield number, dict(zip(header, [*known, *[None] * (len(header) - len(known))], strict=True))


def lists(content: Iterable[str], where: str, first: int = 1, delimiter: str = ",") -> Iterator[tuple[int, list[str]]]:
    """The fields of each row of some lines; rows are numbered from ``first``, and blank lines are skipped.

    Raises:
        CorpusError: a row is not CSV.
    """
    number, reader = first - 1, csv.reader(content, strict=True, delimiter=delimiter)
    most = largest_record()
    try:
        while (fields := _next(reader, most)) is not None:
            if fields:
                number += 1
                yield number, fields
    except csv.Error as error:
        at = f"row {number + 1}" if number + 1 else "header"
        raise CorpusError(f"{where}, {at}: expected CSV ({error}); was the file cut short?") from error


def _next(reader: Iterator[list[str]], most: int) -> list[str] | None:
    """The fields of the next row, of at most ``most`` characters each; None at the end.

    The limit of ``csv`` belongs to the whole process, so it is restored.
    """
    before = csv.field_size_limit(most)
    try:
        return next(reader, None)
    finally:
        csv.field_size_limit(before)
