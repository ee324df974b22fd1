"""Reads records of Parquet and Arrow files and of folders that ``datasets.save_to_disk`` wrote."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from lang_envs.corpora.bytes_read import opens, opens_bytes
from lang_envs.corpora.files import CorpusError, read_json
from lang_envs.corpora.limits import largest_record, record_too_large
from lang_envs.corpora.records import brief, field

Record = dict[str, Any]
_AT_ONCE = 512  # number of records that are read at once


def parquet(path: str | os.PathLike[str], columns: Sequence[str] | None = None) -> Iterator[tuple[int, Record]]:
    """The records of a Parquet file, each with its number from 0, as a stream.

    Args:
        path: the file.
        columns: the columns to read, all of which it must have; None for all.

    Raises:
        CorpusError: the file is damaged, too large, or lacks a column.
    """
    file = open_parquet(path)
    names = file.schema_arrow.names
    if missing := [name for name in columns or () if name not in names]:
        raise CorpusError(f"{path}: expected the columns {columns}, of which {missing} are missing; it has {names}")
    of_all = max(1, file.metadata.num_rows)
    yield from _told(path, of_all, _numbered(batches(file, path, _AT_ONCE, columns), path))


def open_parquet(path: str | os.PathLike[str]) -> Any:
    """A ``pyarrow.parquet.ParquetFile``.

    Raises:
        CorpusError: there is no such file, or it is damaged.
    """
    import pyarrow.parquet as pq

    path = Path(path)
    if not path.is_file():
        raise CorpusError(f"there is no file {str(path)!r}")
    try:
        return pq.ParquetFile(path, page_checksum_verification=True)
    except _faults() as error:
        raise _damaged(path, error) from error


def batches(file: Any, path: str | os.PathLike[str], size: int, columns: Sequence[str] | None = None) -> Iterator[Any]:
    """The record batches of an open Parquet file, of ``size`` rows each.

    Raises:
        CorpusError: the file is damaged.
    """
    found = file.iter_batches(batch_size=size, columns=columns)
    while True:
        try:
            batch = next(found, None)
        except _faults() as error:
            raise _damaged(path, error) from error
        if batch is None:
            return
        yield batch


def _numbered(found: Iterable[Any], path: str | os.PathLike[str]) -> Iterator[tuple[int, Record]]:
    """The rows of record batches, numbered from 0."""
    number = 0
    for batch in found:
        for start in range(0, len(batch), _AT_ONCE):
            for part in _parts(batch.slice(start, _AT_ONCE)):
                for record in _plain(part, f"{path}, after record {number - 1}"):
                    yield number, record
                    number += 1


def _told(path: str | os.PathLike[str], of_all: int, found: Iterable[tuple[int, Any]]) -> Iterator[tuple[int, Any]]:
    """The same numbered things, of which whoever watches is told how many there were so far."""
    done = 0
    opens(path, lambda: done / of_all)
    for number, one in found:
        done = number + 1
        yield number, one


def _parts(batch: Any) -> Iterator[Any]:
    """A record batch in pieces that are within the limit of a record, or hold a single record."""
    if len(batch) < 2 or batch.nbytes <= largest_record():
        yield batch
        return
    half = len(batch) // 2
    yield from _parts(batch.slice(0, half))
    yield from _parts(batch.slice(half))


def _plain(batch: Any, where: str) -> list[Record]:
    """The rows of a record batch after its offsets are checked, because wrong ones would read any place in memory."""
    if batch.nbytes > largest_record():  # few bytes of a file may stand for very many values
        raise CorpusError(f"{where}: {record_too_large()}")
    try:
        batch.validate(full=True)
        return batch.to_pylist()
    except _faults() as error:
        raise CorpusError(f"{where}: a value cannot be read ({error}); was the download cut short?") from error


def _damaged(path: str | os.PathLike[str], error: Exception) -> CorpusError:
    return CorpusError(f"{path}: expected a whole Parquet file ({error}); was the download cut short?")


def saved(folder: str | os.PathLike[str]) -> Iterator[tuple[int, Record]]:
    """The records of one split of a hub data set, each with its number from 0.

    Args:
        folder: a folder of ``datasets.save_to_disk``, with a ``state.json`` that names its Arrow files.

    Raises:
        CorpusError: it is not such a folder, or one of its files is missing or damaged.
    """
    folder = Path(folder)
    splits = sorted(part.parent.name for part in folder.glob("*/state.json"))
    if not (folder / "state.json").is_file():
        of = f"expected one split, got {splits}; pass the folder of one of them" if splits else (
            "expected a folder of CSV files, or one saved by save_to_disk; it has no state.json"
        )  # fmt: skip
        raise CorpusError(f"{folder}: {of}")
    where, number = str(folder / "state.json"), 0
    for entry in field(read_json(where), "_data_files", list, where):
        name = field(entry, "filename", str, where)
        file = folder / name
        if Path(name).name != name or not file.is_file():
            raise CorpusError(f"{where}, field 'filename': expected a file of this folder, got {brief(name)}")
        for _, record in arrow(file):
            yield number, record
            number += 1


def arrow(path: str | os.PathLike[str]) -> Iterator[tuple[int, Record]]:
    """The records of an Arrow file or stream, each with its number from 0. The file is memory-mapped.

    Raises:
        CorpusError: there is no such file, it is damaged, or too large.
    """
    yield from _numbered(_mapped(Path(path)), path)


def _mapped(file: Path) -> Iterator[Any]:
    """The record batches of a file."""
    import pyarrow as pa

    if not file.is_file():
        raise CorpusError(f"there is no file {str(file)!r}")
    try:
        with pa.memory_map(str(file)) as source:
            if source.read(6) == b"ARROW1":
                opened = pa.ipc.open_file(source)
                number = opened.num_record_batches
                yield from (batch for _, batch in _told(file, number, enumerate(map(opened.get_batch, range(number)))))
            else:
                source.seek(0)
                opens_bytes(file, source)
                yield from pa.ipc.open_stream(source)
    except _faults() as error:
        raise CorpusError(f"{file}: expected an Arrow stream ({error}); was the download cut short?") from error


def _faults() -> tuple[type[Exception], ...]:
    """The errors that damaged columns may raise when they are read or converted to Python's values."""
    from pyarrow.lib import ArrowException

    return ArrowException, OSError, ValueError, OverflowError, MemoryError
