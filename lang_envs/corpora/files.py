"""Opens and reads corpus files, plain or compressed, as strict UTF-8; every error is a ``CorpusError`` in words."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from lang_envs.corpora import compressed
from lang_envs.corpora.limits import DEEPEST, TooLarge, largest_record, record_too_large

DATA_VARIABLE = "LANG_ENVS_DATA"
"""The environment variable that names a folder of downloaded corpora."""


class CorpusError(ValueError):
    """A file does not follow its format; the message names the file, the record and the field."""


def data_folder(name: str, corpus: str | None = None) -> Path:
    """The folder ``name`` of the downloaded corpora; errors name the ``corpus`` that is looked for there.

    Raises:
        CorpusError: there is no such folder; the message says what to do.
    """
    root = os.environ.get(DATA_VARIABLE)
    if not root:
        raise CorpusError(
            f"the corpus {corpus or name!r} is not packaged: download it and pass its path, or put it in {name!r} and "
            f"set {DATA_VARIABLE} to the folder that holds {name!r}"
        )
    folder = Path(root) / name
    if not folder.exists():
        raise CorpusError(
            f"{DATA_VARIABLE} is {root!r}, where there is no {name!r}; download it there or pass its path"
        )
    return folder


def open_bytes(path: str | os.PathLike[str]) -> BinaryIO:
    """Opens a file; the ending of its name (.gz, .bz2, .xz, .zst, .zip) tells the compression.

    Raises:
        CorpusError: there is no such file, it cannot be unpacked, or a zip does not hold exactly one file.
    """
    path = Path(path)
    if not path.is_file():
        raise CorpusError(f"there is no file {str(path)!r}")
    try:
        return compressed.open_bytes(path)
    except compressed.faults() as error:
        raise unreadable(path, error) from error
    except ValueError as error:
        raise CorpusError(f"{path}: {error}") from error


def open_text(path: str | os.PathLike[str]) -> TextIO:
    """Opens a text file as :func:`open_bytes` does; a byte order mark at its beginning is skipped.

    Raises:
        CorpusError: as :func:`open_bytes`.
    """
    return as_text(open_bytes(path))


def as_text(content: BinaryIO) -> TextIO:
    """Bytes as strict UTF-8 text; line ends stay as they are."""
    return io.TextIOWrapper(content, encoding="utf-8-sig", newline="")


def read_text(path: str | os.PathLike[str]) -> str:
    """The whole text of a file.

    Raises:
        CorpusError: the file cannot be read, is not UTF-8, or is too large to be one record.
    """
    most = largest_record()
    with open_text(path) as file:
        try:
            text = file.read(most + 1)
            if len(text) > most:
                raise record_too_large()
        except faults() as error:
            raise unreadable(path, error) from error
    return text


def first_character(path: str | os.PathLike[str]) -> str:
    """The first character of a file that is not blank; empty if there is none among the first 65,536.

    Raises:
        CorpusError: the file cannot be read or is not UTF-8.
    """
    with open_text(path) as file:
        try:
            return file.read(2**16).lstrip()[:1]
        except faults() as error:
            raise unreadable(path, error) from error


def lines(path: str | os.PathLike[str]) -> Iterator[tuple[int, str]]:
    """The lines of a file, each with its number from 1, as a stream.

    Raises:
        CorpusError: the file cannot be read, is not UTF-8, or a line is too large to be one record.
    """
    with open_text(path) as file:
        yield from lines_of(file, path)


def lines_of(file: TextIO, where: str | os.PathLike[str]) -> Iterator[tuple[int, str]]:
    """The lines of an open text file; see :func:`lines`."""
    most = largest_record()
    for number in count(1):
        try:
            line = file.readline(most + 1)
            if len(line) > most:
                raise record_too_large()
        except faults() as error:
            raise unreadable(where, error, number) from error
        if not line:
            return
        yield number, line


def read_json(path: str | os.PathLike[str]) -> Any:
    """The one JSON value of a file.

    Raises:
        CorpusError: the file is not JSON, is cut short or cannot be read.
    """
    return parse(read_text(path), str(path), 1)


def json_lines(path: str | os.PathLike[str]) -> Iterator[tuple[int, Any]]:
    """The values of a file of JSON lines, each with the number of its line from 1; blank lines are skipped.

    Raises:
        CorpusError: a line is not JSON.
    """
    for number, line in lines(path):
        if line.strip():
            yield number, parse(line.rstrip(), str(path), number)


def parse(text: str, where: str, line: int | None = None) -> Any:
    """The JSON value of a text.

    Args:
        text: the text of one value.
        where: the place of the text, for errors.
        line: the number of its first line.

    Raises:
        CorpusError: the text is not JSON, too deeply nested, or holds an integer of too many digits.
    """
    where, file = (where, where) if line is None else (f"{where}, line {line}", where)
    too_deep = f"{where}: expected JSON nested at most {DEEPEST} deep, got it deeper"
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        at = where if line is None else f"{file}, line {line + error.lineno - 1}"
        raise CorpusError(f"{at}: expected JSON ({error.msg}); was the file cut short?") from error
    except RecursionError:
        raise CorpusError(too_deep) from None
    except ValueError as error:
        most = sys.get_int_max_str_digits()
        raise CorpusError(f"{where}: expected integers of at most {most} digits, got a longer one") from error
    except MemoryError:
        raise CorpusError(f"{where}: there is not enough memory for the JSON of {len(text):,} characters") from None
    if text.count("[") + text.count("{") > DEEPEST and isinstance(value, dict | list) and _is_deeper(value, DEEPEST):
        raise CorpusError(too_deep)
    return value


def _is_deeper(value: Any, most: int) -> bool:
    """Whether more than ``most`` lists and objects are nested."""
    level = [value]
    for _ in range(most):
        level = [inner for outer in level for inner in (outer.values() if isinstance(outer, dict) else outer)]
        level = [inner for inner in level if isinstance(inner, dict | list)]
    return bool(level)


def faults() -> tuple[type[Exception], ...]:
    """The errors that reading a damaged or wrong file may raise."""
    return (UnicodeDecodeError, *compressed.faults())


def unreadable(where: str | os.PathLike[str], error: Exception, line: int | None = None) -> CorpusError:
    """The error to raise for one of :func:`faults`.

    Args:
        where: the file, and the record if it is known.
        error: the error that was raised.
        line: the number of the current line, if the file is read line by line.
    """
    if isinstance(error, UnicodeDecodeError):
        got = error.object[error.start]
        if line is not None:  # the text is decoded ahead of the current line
            where = f"{where}, line {line + error.object[: error.start].count(10)}"
        return CorpusError(f"{where}: expected UTF-8, got byte {got:#04x}; convert it (iconv -t utf-8){_utf_16(error)}")
    where = str(where) if line is None else f"{where}, after line {line - 1}"
    if isinstance(error, TooLarge):
        return CorpusError(f"{where}: {error}")
    if isinstance(error, MemoryError):
        return CorpusError(f"{where}: there is not enough memory to read it")
    return CorpusError(
        f"{where}: cannot be decompressed ({error}); is the download whole, the file named after its kind, and not "
        "encrypted?"
    )


def _utf_16(error: UnicodeDecodeError) -> str:
    marked = error.start == 0 and error.object[:2] in (b"\xff\xfe", b"\xfe\xff")
    return "; it begins as UTF-16 does (iconv -f utf-16 -t utf-8)" if marked else ""
