"""Reads the JSON lines and Parquet files that :mod:`datasets_builders.export` writes, and checks every field."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from datasets_builders.columns import Columns
from datasets_builders.export import KIND
from datasets_builders.provenance import check_facts, tokenizer_facts
from datasets_builders.storage import COLUMNS, DatasetError, schema_of
from datasets_builders.views import Chunk
from lang_envs.corpora.arrow_files import batches as batches_of
from lang_envs.corpora.arrow_files import open_parquet
from lang_envs.corpora.files import CorpusError, json_lines, parse
from lang_envs.corpora.records import brief, shown, typed
from lang_envs.tokenizers import whole

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

_ROWS = 65_536
_MOST_IDS = 2**31
_UNFIT = (pa.ArrowException, OverflowError, ValueError)
_LISTS: dict[str, tuple[frozenset[type], str]] = {
    "tokens": (frozenset({int}), "ids"),
    "is_action": (frozenset({int, bool}), "0 and 1"),
    "rewards": (frozenset({int, float}), "numbers"),
    "logprobs": (frozenset({int, float, type(None)}), "numbers and null"),
}
_OF_A_DATASET: dict[str, type] = {
    "episodes": int, "mean_return": float, "max_utterance_tokens": int, "name": str, "description": str, "env": dict,
    "tokenizer": dict, "reference_scores": dict,
}  # fmt: skip
_INSIDE: dict[str, dict[str, type]] = {
    "env": {"id": str, "kwargs": dict},
    "tokenizer": {"fingerprint": str, "vocab_size": int, "end_id": int},
    "reference_scores": {"random": float, "expert": float},
}


def read_jsonl(path: Path) -> tuple[dict[str, Any], Iterator[pa.RecordBatch]]:
    """The provenance of a file of :func:`~datasets_builders.export.write_jsonl`, and a stream of its record batches.

    Raises:
        DatasetError: a line cannot be read; the message names the line and the field.
    """
    lines = _lines(path)
    number, header = next(lines, (1, None))
    where = f"{path}, line {number}"
    if not isinstance(header, dict) or header.get("kind") != KIND or "provenance" not in header:
        raise DatasetError(
            f"{where}: expected {{'kind': {KIND!r}, 'provenance': ...}}, as EpisodeDataset.to_jsonl writes, got "
            f"{shown(header)}"
        )
    provenance = checked_provenance(header["provenance"], f"{where}, field 'provenance'")
    return provenance, _jsonl_batches(lines, schema_of(provenance), path)


def read_parquet(path: Path) -> tuple[dict[str, Any], Iterator[pa.RecordBatch]]:
    """The provenance of a file of :func:`~datasets_builders.export.write_parquet`, and a stream of its record batches.

    Raises:
        DatasetError: the file is damaged, has no provenance, or has columns of other types.
    """
    with _in_words():
        file = open_parquet(path)
        text = (file.schema_arrow.metadata or {}).get(KIND.encode())
        if text is None:
            raise DatasetError(
                f"{path}: expected the metadata {KIND!r}, as EpisodeDataset.to_parquet writes it; it is missing"
            )
        where = f"{path}, metadata {KIND!r}"
        provenance = checked_provenance(parse(text.decode("utf-8", "replace"), where), where)
    return provenance, _parquet_batches(file, schema_of(provenance), path)


def columns_of(
    provenance: dict[str, Any],
    batches: Iterator[pa.RecordBatch],
    tokenizer: PreTrainedTokenizerFast | None,
    where: str,
) -> tuple[dict[str, Any], Columns]:
    """The provenance of a file and its episodes, each checked.

    Args:
        provenance: the provenance that the file holds.
        batches: the record batches of its episodes.
        tokenizer: added to the provenance if the file names no tokenizer.
        where: the name of the file for errors.

    Raises:
        DatasetError: there is no episode, there are fewer or more than the provenance says, or an episode contradicts
            itself.
    """
    check_facts(provenance, where)
    if tokenizer is not None and not provenance.get("tokenizer"):
        provenance = {**provenance, "tokenizer": tokenizer_facts(tokenizer)}
    types = schema_of(provenance)
    try:
        chunks = [Chunk.of(batch.cast(types), where) for batch in batches]
    except (pa.ArrowInvalid, KeyError) as error:
        raise DatasetError(f"{where}: expected columns of the types {types} ({error})") from error
    columns = Columns(chunks)
    if not len(columns):
        raise DatasetError(f"{where}: the data set is empty; expected at least one episode")
    if len(columns) != provenance.get("episodes", len(columns)):
        raise DatasetError(
            f"{where}: its provenance promises {provenance['episodes']} episodes, it holds {len(columns)}; was the "
            "file cut short? (if you removed episodes on purpose, remove 'episodes' from the provenance too)"
        )
    first = 0
    for chunk in chunks:
        chunk.check_episodes(where, (provenance.get("tokenizer") or {}).get("vocab_size"), first)
        first += len(chunk)
    return provenance, columns


def checked_provenance(found: Any, where: str) -> dict[str, Any]:
    """Returns a provenance after checking that the fields that it has are of the types that this package reads.

    Raises:
        DatasetError: a field is of another type; the message names it.
    """
    if not isinstance(found, dict):
        raise DatasetError(f"{where}: expected an object, got {shown(found)}")
    _writable(found, where)
    _check_types(found, _OF_A_DATASET, where)
    for name, kinds in _INSIDE.items():
        _check_types(found.get(name) or {}, kinds, f"{where}, field {name!r}")
    size = (found.get("tokenizer") or {}).get("vocab_size", 1)
    if size is None or not 0 < size <= _MOST_IDS:
        raise DatasetError(f"{where}, field 'tokenizer', field 'vocab_size': expected 1 to {_MOST_IDS}, got {size}")
    return found


def _check_types(record: dict[str, Any], kinds: dict[str, type], where: str) -> None:
    for key, kind in kinds.items():
        if record.get(key) is not None:
            try:
                typed(record, key, kind)
            except ValueError as error:
                raise DatasetError(f"{where}, {error}") from error


def _writable(value: dict[str, Any], where: str) -> str:
    """An object as compact JSON with sorted keys.

    Raises:
        DatasetError: it holds a number that is not finite, or a lone surrogate (half a character).
    """
    try:
        text = json.dumps(value, separators=(",", ":"), sort_keys=True, allow_nan=False)
    except ValueError as error:
        raise DatasetError(f"{where}: expected finite numbers, got one that is not") from error
    if "\\ud" in text and not whole(json.dumps(value, ensure_ascii=False)):
        raise DatasetError(f"{where}: a text holds half a character; take it out of the file")
    return text


@contextmanager
def _in_words() -> Iterator[None]:
    """Raises a ``DatasetError`` for any ``CorpusError``."""
    try:
        yield
    except CorpusError as error:
        raise DatasetError(str(error)) from error


def _lines(path: Path) -> Iterator[tuple[int, Any]]:
    with _in_words():
        yield from json_lines(path)


def _jsonl_batches(lines: Iterator[tuple[int, Any]], columns: pa.Schema, path: Path) -> Iterator[pa.RecordBatch]:
    while some := list(itertools.islice(lines, _ROWS)):
        rows = [(f"{path}, line {number}", row) for number, row in some]
        yield _to_batch([(where, _row(row, where)) for where, row in rows], columns)


def _row(row: Any, where: str) -> dict[str, Any]:
    """A line as a row for Arrow, after its types are checked."""
    if not isinstance(row, dict) or set(row) != set(COLUMNS):
        got = brief(sorted(row)) if isinstance(row, dict) else shown(row)
        raise DatasetError(f"{where}: expected the fields {sorted(COLUMNS)}, got {got}")
    for name, (kinds, what) in _LISTS.items():
        value = row[name]
        if name == "logprobs" and value is None:
            continue
        if not isinstance(value, list) or not set(map(type, value)) <= kinds:
            odd = next((one for one in value if type(one) not in kinds), None) if isinstance(value, list) else value
            raise DatasetError(f"{where}, field {name!r}: expected a list of {what}, got {shown(odd)}")
    _check_types({"seed": row["seed"]}, {"seed": int}, where)
    for name, kind in (("terminated", bool), ("truncated", bool), ("info", dict)):
        if not isinstance(row[name], kind):
            expected = "true or false" if kind is bool else "an object"
            raise DatasetError(f"{where}, field {name!r}: expected {expected}, got {shown(row[name])}")
    if not set(row["is_action"]) <= {0, 1}:
        raise DatasetError(f"{where}, field 'is_action': expected a list of 0 and 1, got {shown(row['is_action'])}")
    row["info"] = _writable(row["info"], f"{where}, field 'info'")
    row["is_action"] = [bool(acted) for acted in row["is_action"]]
    if row["logprobs"] is not None:
        row["logprobs"] = [math.nan if value is None else value for value in row["logprobs"]]
    return row


def _to_batch(rows: list[tuple[str, dict[str, Any]]], columns: pa.Schema) -> pa.RecordBatch:
    try:
        return pa.RecordBatch.from_pylist([row for _, row in rows], schema=columns)
    except _UNFIT:
        for where, row in rows:  # rows are checked one by one only after an error, to find the row that caused it
            for field in columns:
                _check_field(row[field.name], field, f"{where}, field {field.name!r}")
        raise


def _check_field(value: Any, field: pa.Field, where: str) -> None:
    try:
        pa.array([value], field.type)
    except _UNFIT as error:
        raise DatasetError(f"{where}: expected {field.type} ({error!s:.200})") from error


def _parquet_batches(file: Any, columns: pa.Schema, path: Path) -> Iterator[pa.RecordBatch]:
    with _in_words():
        for batch in batches_of(file, path, _ROWS):
            missing = [name for name in COLUMNS if name not in batch.schema.names]
            if missing:
                raise DatasetError(f"{path}: expected the columns {list(COLUMNS)}, of which {missing} are missing")
            try:
                yield batch.select(list(COLUMNS)).cast(columns)
            except _UNFIT as error:
                raise DatasetError(f"{path}: expected columns of the types {columns} ({error})") from error
