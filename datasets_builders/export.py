"""Other file formats, both ways and exact: JSON lines and Parquet."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from datasets_builders.atomic import replacing
from datasets_builders.claim import Claim
from datasets_builders.storage import COLUMNS, DatasetError, schema_of

_KIND = "lang-envs episodes"
_ROWS = 65_536
_UNFIT = (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError)


def write_jsonl(batches: Iterable[pa.RecordBatch], provenance: dict[str, Any], path: Path) -> None:
    """One line of provenance, then one line an episode; unknown log-probabilities are null."""
    with Claim(path), replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write(json.dumps({"kind": _KIND, "provenance": provenance}) + "\n")
        for batch in batches:
            for row in batch.to_pylist():
                row["is_action"] = [int(acted) for acted in row["is_action"]]
                row["info"] = json.loads(row["info"])
                if row["logprobs"] is not None:
                    row["logprobs"] = [None if math.isnan(value) else value for value in row["logprobs"]]
                file.write(json.dumps(row, separators=(",", ":"), allow_nan=False) + "\n")


def read_jsonl(path: Path) -> tuple[dict[str, Any], Iterator[pa.RecordBatch]]:
    """What :func:`write_jsonl` wrote: the provenance, and batches as they are read.

    Raises:
        DatasetError: where a line cannot be read, naming the line and the field.
    """
    with path.open(encoding="utf-8", errors="surrogateescape") as file:
        header = _line(file.readline(), path, 1)
    if not isinstance(header, dict) or header.get("kind") != _KIND or not isinstance(header.get("provenance"), dict):
        raise DatasetError(
            f"{path}, line 1: expected {{'kind': {_KIND!r}, 'provenance': ...}}, as EpisodeDataset.to_jsonl writes"
        )
    provenance = header["provenance"]
    return provenance, _jsonl_batches(path, schema_of(provenance))


def _jsonl_batches(path: Path, columns: pa.Schema) -> Iterator[pa.RecordBatch]:
    with path.open(encoding="utf-8", errors="surrogateescape") as file:
        file.readline()
        lines = enumerate(file, start=2)
        while some := list(itertools.islice(lines, _ROWS)):
            yield _to_batch(
                [_row(_line(text, path, number), path, number) for number, text in some], columns, path, some[0][0]
            )


def _line(text: str, path: Path, number: int) -> Any:
    try:
        return json.loads(text.encode("utf-8", "surrogateescape"))
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path}, line {number}: expected UTF-8 ({error}); save the file in it") from error
    except ValueError as error:
        raise DatasetError(
            f"{path}, line {number}: expected a whole line of JSON ({error}); was the file cut short?"
        ) from error


def _row(row: Any, path: Path, number: int) -> dict[str, Any]:
    if not isinstance(row, dict) or set(row) != set(COLUMNS):
        got = sorted(row) if isinstance(row, dict) else type(row).__name__
        raise DatasetError(f"{path}, line {number}: expected the fields {sorted(COLUMNS)}, got {got}")
    row["info"] = json.dumps(row["info"], separators=(",", ":"), sort_keys=True)
    try:
        row["is_action"] = [bool(acted) for acted in row["is_action"]]
        if row["logprobs"] is not None:
            row["logprobs"] = [math.nan if value is None else value for value in row["logprobs"]]
    except TypeError as error:
        raise DatasetError(f"{path}, line {number}: is_action and logprobs must be lists ({error})") from error
    return row


def _to_batch(rows: list[dict[str, Any]], columns: pa.Schema, path: Path, first: int) -> pa.RecordBatch:
    try:
        return pa.RecordBatch.from_pylist(rows, schema=columns)
    except _UNFIT:
        for number, row in enumerate(rows, start=first):  # only now: which one was it?
            for field in columns:
                _check_field(row[field.name], field, f"{path}, line {number}, field {field.name!r}")
        raise


def _check_field(value: Any, field: pa.Field, where: str) -> None:
    try:
        pa.array([value], field.type)
    except _UNFIT as error:
        raise DatasetError(f"{where}: expected {field.type} ({error})") from error


def write_parquet(
    batches: Iterable[pa.RecordBatch], columns: pa.Schema, provenance: dict[str, Any], path: Path
) -> None:
    """One row an episode; the provenance is in the file's metadata."""
    columns = columns.with_metadata({_KIND: json.dumps(provenance)})
    with Claim(path), replacing(path) as temporary, pq.ParquetWriter(temporary, columns, compression="zstd") as writer:
        for batch in batches:
            writer.write_batch(batch)


def read_parquet(path: Path) -> tuple[dict[str, Any], Iterator[pa.RecordBatch]]:
    """What :func:`write_parquet` wrote: the provenance, and batches as they are read.

    Raises:
        DatasetError: where the file is cut short or carries no provenance.
    """
    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise DatasetError(
            f"{path}: expected a whole Parquet file ({error}); copy it again or export it anew"
        ) from error
    text = (file.schema_arrow.metadata or {}).get(_KIND.encode())
    if text is None:
        raise DatasetError(
            f"{path}: expected the metadata {_KIND!r}, as EpisodeDataset.to_parquet writes it; it is missing"
        )
    return json.loads(text), file.iter_batches(batch_size=_ROWS)
