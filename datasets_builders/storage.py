"""Packs episodes into Arrow: one row per episode, with one reward and one log-probability per action token.

A Wordle game takes about 290 bytes: a byte a token, a bit a token for ``is_action``, four bytes an action.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from datasets_builders.atomic import replacing
from lang_envs.episode import Episodes

FORMAT_VERSION = 1
COLUMNS = ("tokens", "is_action", "rewards", "logprobs", "terminated", "truncated", "seed", "info")


class DatasetError(ValueError):
    """A data set that cannot be read or continued; the message names the file, the record and the field."""


def schema(vocab_size: int) -> pa.Schema:
    """The columns of a data set; tokens are the narrowest integers that hold ``vocab_size`` ids."""
    token = pa.uint8() if vocab_size <= 2**8 else pa.uint16() if vocab_size <= 2**16 else pa.int32()
    types = (pa.list_(token), pa.list_(pa.bool_()), pa.list_(pa.float32()), pa.list_(pa.float32()))
    return pa.schema(list(zip(COLUMNS, (*types, pa.bool_(), pa.bool_(), pa.int64(), pa.string()), strict=True)))


def schema_of(provenance: dict[str, Any]) -> pa.Schema:
    """The columns for the tokenizer that ``provenance`` names; with 32-bit tokens if it names none."""
    return schema((provenance.get("tokenizer") or {}).get("vocab_size", 2**31))


def features(columns: pa.Schema) -> dict[str, Any]:
    """The same columns as ``datasets.Features`` writes them to ``dataset_info.json``."""
    return {field.name: _feature(field.type) for field in columns}


def _feature(kind: pa.DataType) -> dict[str, Any]:
    if pa.types.is_list(kind):
        return {"feature": _feature(kind.value_type), "_type": "List"}
    names = {pa.float32(): "float32", pa.bool_(): "bool", pa.string(): "string"}
    return {"dtype": names.get(kind, str(kind)), "_type": "Value"}


def to_json(info: dict[str, Any]) -> str:
    """The facts of an episode except its seed, as compact JSON with sorted keys; equal facts give equal bytes."""
    facts = {key: value for key, value in info.items() if key != "seed"}
    try:
        return json.dumps(facts, separators=(",", ":"), sort_keys=True, allow_nan=False, default=_plain)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"an episode's info must be JSON-able (numbers, strings, booleans, lists), got {info!r}: {error}"
        ) from error


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is not JSON-able")


def encode(episodes: Episodes, columns: pa.Schema, infos: Sequence[str] | None = None) -> pa.RecordBatch:
    """Packs episodes into one record batch.

    Args:
        episodes: B episodes.
        columns: the columns, from :func:`schema`.
        infos: B JSON texts, if they are already made; by default they are made from ``episodes.info``.

    Raises:
        ValueError: a token does not fit the column's integers, or an info is not JSON-able.
    """
    token = columns.field("tokens").type.value_type.to_pandas_dtype()
    low, high = (episodes.tokens.min(), episodes.tokens.max()) if len(episodes.tokens) else (0, 0)
    if low < 0 or high > np.iinfo(token).max:
        raise ValueError(
            f"token ids between 0 and {np.iinfo(token).max} fit this data set's vocabulary, got {low} to {high}"
        )
    acted = episodes.is_action  # [N]
    action_offsets = np.concatenate([[0], np.cumsum(acted, dtype=np.int64)])[episodes.offsets]  # [B + 1]
    seeds = [info.get("seed") for info in episodes.info]
    arrays = [
        _lists(episodes.offsets, pa.array(episodes.tokens.astype(token))),
        _lists(episodes.offsets, pa.array(acted)),
        _lists(action_offsets, pa.array(episodes.rewards[acted])),
        _logprob_lists(episodes.logprobs, acted, action_offsets),
        pa.array(episodes.terminated),
        pa.array(episodes.truncated),
        pa.array(seeds, pa.int64()),
        pa.array([to_json(info) for info in episodes.info] if infos is None else infos, pa.string()),
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=columns)


def _lists(offsets: NDArray[np.int64], values: pa.Array) -> pa.ListArray:
    return pa.ListArray.from_arrays(pa.array(offsets).cast(pa.int32()), values)


def _logprob_lists(
    logprobs: NDArray[np.float32] | None, acted: NDArray[np.bool_], offsets: NDArray[np.int64]
) -> pa.ListArray:
    """One list per episode; null if none of its actions has a log-probability."""
    count = len(offsets) - 1
    if logprobs is None:
        return pa.nulls(count, pa.list_(pa.float32()))
    values = logprobs[acted]  # [A]
    some = np.concatenate([[0], np.cumsum(~np.isnan(values))])[offsets]  # [B + 1]
    known = np.diff(some) > 0  # [B]
    lengths = np.where(known, np.diff(offsets), 0)
    kept = values[np.repeat(known, np.diff(offsets))]
    starts = pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))
    return pa.ListArray.from_arrays(starts, pa.array(kept), mask=pa.array(~known))


def write_arrow(path: Path, batches: Iterable[pa.RecordBatch], columns: pa.Schema) -> None:
    """Writes an Arrow stream; no reader sees half a file."""
    with (
        replacing(path) as temporary,
        pa.OSFile(str(temporary), "wb") as sink,
        pa.ipc.new_stream(sink, columns) as stream,
    ):
        for batch in batches:
            stream.write_batch(batch)


def read_arrow(path: Path) -> list[pa.RecordBatch]:
    """The record batches of a file, mapped into memory and not read.

    Raises:
        DatasetError: the file is cut short or is not an Arrow stream.
    """
    batches: list[pa.RecordBatch] = []
    try:
        with pa.memory_map(str(path)) as source:
            stream = pa.ipc.open_stream(source)
            stream.schema.names  # noqa: B018  # decodes them, which may fail
            while True:
                batch = stream.read_next_batch()
                batch.validate()  # checks the lengths of the columns; Chunk checks their content
                batches.append(batch)
    except StopIteration:
        return batches
    except (pa.ArrowException, ValueError, OSError) as error:
        raise DatasetError(
            f"{path}: expected a whole Arrow stream, but reading record batch {len(batches)} failed ({error}); "
            "the file was cut short or overwritten: copy it again or record it anew"
        ) from error
