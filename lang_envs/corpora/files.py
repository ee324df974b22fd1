"""Opening corpus files as they come: plain or compressed, always as strict UTF-8, and every fault named in words."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import zipfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO, TextIO

DATA_VARIABLE = "LANG_ENVS_DATA"
"""The environment variable that names a folder of downloaded corpora."""


class CorpusError(ValueError):
    """A file is not what its format says; the message names the file, the record and the field."""


def data_folder(name: str) -> Path:
    """The folder ``name`` of the downloaded corpora.

    Raises:
        CorpusError: where no such folder is at hand, saying what to do.
    """
    root = os.environ.get(DATA_VARIABLE)
    if not root:
        raise CorpusError(
            f"the corpus {name!r} is not packaged: download it and pass its path, or set {DATA_VARIABLE} to the folder "
            f"that holds {name!r}"
        )
    folder = Path(root) / name
    if not folder.exists():
        raise CorpusError(
            f"{DATA_VARIABLE} is {root!r}, where there is no {name!r}; download it there or pass its path"
        )
    return folder


def open_text(path: str | os.PathLike[str]) -> TextIO:
    """Opens a text file; what its name ends in (.gz, .bz2, .xz, .zst, .zip) says how it is compressed.

    A byte order mark at its beginning, as some Windows programs write it, is passed over.

    Raises:
        CorpusError: where there is no such file, or a zip does not hold exactly one file.
    """
    path = Path(path)
    if not path.is_file():
        raise CorpusError(f"there is no file {str(path)!r}")
    return io.TextIOWrapper(_open_bytes(path), encoding="utf-8-sig", newline="")


def _open_bytes(path: Path) -> Any:
    match path.suffix:
        case ".gz":
            return gzip.open(path)
        case ".bz2":
            return bz2.open(path)
        case ".xz":
            return lzma.open(path)
        case ".zst":
            return io.BufferedReader(_Zst(path.open("rb")))
        case ".zip":
            return _open_zip(path)
    return path.open("rb")


class _Zst(io.RawIOBase):
    """The bytes of a .zst file; the library's own reader takes one that was cut short for whole."""

    def __init__(self, packed: BinaryIO) -> None:
        import zstandard

        # Reddit dumps are compressed with a window of 2 GiB, far beyond the library's default.
        self._unpacker = zstandard.ZstdDecompressor(max_window_size=2**31)
        self._packed, self._ready = packed, memoryview(b"")
        self._frame: Any = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            more = (self._frame.unused_data if self._frame and self._frame.eof else b"") or self._packed.read(2**17)
            if not more:
                if self._frame and not self._frame.eof:
                    raise EOFError("the last frame is not whole")
                return 0
            if self._frame is None or self._frame.eof:
                self._frame = self._unpacker.decompressobj()
            self._ready = memoryview(self._frame.decompress(more))
        size = min(len(buffer), len(self._ready))
        buffer[:size], self._ready = self._ready[:size], self._ready[size:]
        return size

    def close(self) -> None:
        self._packed.close()
        super().close()


def _open_zip(path: Path) -> Any:
    try:
        archive = zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        raise CorpusError(f"{path}: expected a zip archive ({error}); was the download cut short?") from error
    members = [name for name in archive.namelist() if not name.endswith("/") and not name.startswith("__MACOSX")]
    if len(members) != 1:
        raise CorpusError(f"{path}: expected a zip of one file, got {len(members)}: {members[:5]}; unpack it first")
    return archive.open(members[0])


def read_json(path: str | os.PathLike[str]) -> Any:
    """The one JSON value of a file.

    Raises:
        CorpusError: where it is none, is cut short or not UTF-8.
    """
    with open_text(path) as file:
        text = read(file, path)
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise CorpusError(
            f"{path}, line {error.lineno}: expected JSON ({error.msg}); was the file cut short?"
        ) from error


def read(file: TextIO, path: str | os.PathLike[str]) -> str:
    """The whole text of a file that :func:`open_text` opened.

    Raises:
        CorpusError: where it cannot be decompressed or is not UTF-8.
    """
    try:
        return file.read()
    except faults() as error:
        raise unreadable(path, error) from error


def json_lines(path: str | os.PathLike[str]) -> Iterator[tuple[int, Any]]:
    """The values of a file of JSON lines, each with the number of its line from 1; blank lines are passed over.

    Raises:
        CorpusError: at the first line that is no JSON.
    """
    for number, line in lines(path):
        if not line.strip():
            continue
        try:
            yield number, json.loads(line)
        except json.JSONDecodeError as error:
            raise CorpusError(f"{path}, line {number}: expected JSON ({error.msg}); was the file cut short?") from error


def lines(path: str | os.PathLike[str]) -> Iterator[tuple[int, str]]:
    """The lines of a file, each with its number from 1, read as they are asked for.

    Raises:
        CorpusError: where the file cannot be decompressed or is not UTF-8.
    """
    with open_text(path) as file:
        for number in count(1):
            try:
                line = file.readline()
            except faults() as error:
                raise unreadable(path, error, number) from error
            if not line:
                return
            yield number, line


def faults() -> tuple[type[Exception], ...]:
    """What reading a damaged or mistaken file may raise."""
    import zlib

    import zstandard

    return UnicodeDecodeError, EOFError, zlib.error, lzma.LZMAError, zstandard.ZstdError, zipfile.BadZipFile, OSError


def unreadable(path: str | os.PathLike[str], error: Exception, line: int | None = None) -> CorpusError:
    """The error to raise for one of :func:`faults`."""
    where = str(path) if line is None else f"{path}, after line {line - 1}"
    if isinstance(error, UnicodeDecodeError):
        return CorpusError(
            f"{where}: expected UTF-8, got byte {error.object[error.start]:#04x}; convert it (iconv -t utf-8)"
        )
    return CorpusError(f"{where}: cannot be decompressed ({error}); was the download cut short, or the file renamed?")
