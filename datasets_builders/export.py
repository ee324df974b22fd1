"""Writes episodes exactly, as JSON lines or Parquet; :mod:`datasets_builders.imports` reads them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from datasets_builders.atomic import replacing
from datasets_builders.claim import Claim
from lang_envs.progress import progress_bar

KIND = "lang-envs episodes"
"""The kind that the first line of JSON lines, or the metadata of Parquet, states."""


def write_jsonl(batches: Iterable[pa.RecordBatch], episodes: int, provenance: dict[str, Any], path: Path) -> None:
    """Writes one line of provenance, then one line per episode; unknown log-probabilities are null."""
    with Claim(path), replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write(json.dumps({"kind": KIND, "provenance": provenance}) + "\n")
        for batch in _told(batches, episodes, path):
            for row in batch.to_pylist():
                row["is_action"] = [int(acted) for acted in row["is_action"]]
                row["info"] = json.loads(row["info"])
                if row["logprobs"] is not None:
                    row["logprobs"] = [None if math.isnan(value) else value for value in row["logprobs"]]
                file.write(json.dumps(row, separators=(",", ":"), allow_nan=False) + "\n")


def write_parquet(
    batches: Iterable[pa.RecordBatch], episodes: int, columns: pa.Schema, provenance: dict[str, Any], path: Path
) -> None:
    """Writes one row per episode, and the provenance into the file's metadata."""
    columns = columns.with_metadata({KIND: json.dumps(provenance)})
    with Claim(path), replacing(path) as temporary, _writer(temporary, columns) as writer:
        for batch in _told(batches, episodes, path):
            writer.write_batch(batch)


def _told(batches: Iterable[pa.RecordBatch], episodes: int, path: Path) -> Iterator[pa.RecordBatch]:
    """The same batches, with a progress bar over their episodes."""
    with progress_bar(f"writing {path.name}", episodes) as show:
        done = 0
        for batch in batches:
            yield batch
            done += len(batch)
            show(done)


def _writer(path: Path, columns: pa.Schema) -> pq.ParquetWriter:
    """A writer of pages with checksums; without them, readers of damaged pages decode nonsense or crash."""
    return pq.ParquetWriter(path, columns, compression="zstd", write_page_checksum=True)
