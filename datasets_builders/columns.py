"""Columns: reads many record batches as one sequence of episodes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from datasets_builders.storage import COLUMNS
from datasets_builders.views import Chunk, running, spread
from lang_envs.episode import Episodes


class Columns:
    """Record batches as one sequence of B episodes."""

    def __init__(self, chunks: Sequence[Chunk]) -> None:
        self.chunks = list(chunks)
        self._bounds = np.cumsum([0, *(len(chunk) for chunk in self.chunks)])  # [chunks + 1]

    def __len__(self) -> int:
        return int(self._bounds[-1])

    def _parts(self, rows: NDArray[np.int64]) -> Iterator[tuple[Chunk, NDArray[np.int64], Any]]:
        """Each chunk that holds some of ``rows`` [n], the rows inside it, and which of the n they are."""
        if len(self.chunks) == 1:
            yield self.chunks[0], rows, slice(None)
            return
        holder = np.searchsorted(self._bounds, rows, side="right") - 1  # [n]
        for number in np.unique(holder):
            which = np.flatnonzero(holder == number)
            yield self.chunks[number], rows[which] - self._bounds[number], which

    def gather(self, rows: NDArray[np.int64]) -> Episodes:
        """Copies the episodes ``rows`` [n] out of the buffers; their infos are empty."""
        parts, order = [], []
        for chunk, local, which in self._parts(rows):
            parts.append(chunk.gather(local))
            order.append(which)
        if len(parts) == 1:
            return parts[0]
        return _reordered(Episodes.concat(parts), np.argsort(np.concatenate(order)))

    def batch(self, rows: NDArray[np.int64], names: Sequence[str] = COLUMNS) -> pa.RecordBatch:
        """The Arrow rows ``rows`` [n], copied into one batch."""
        parts, order = [], []
        for chunk, local, which in self._parts(rows):
            parts.append(chunk.batch.select(list(names)).take(pa.array(local)))
            order.append(np.arange(len(rows))[which])
        if len(parts) > 1:
            joined = pa.concat_batches(parts)
            return joined.take(pa.array(np.argsort(np.concatenate(order))))
        return parts[0]

    def lengths(self) -> NDArray[np.int64]:
        """The number of tokens of every episode [B]."""
        return np.concatenate([np.diff(chunk.offsets) for chunk in self.chunks]).astype(np.int64)

    def returns(self) -> NDArray[np.float64]:
        """The sum of rewards of every episode [B]."""
        return np.concatenate([_sums(chunk.rewards, chunk.action_offsets) for chunk in self.chunks])


def _reordered(episodes: Episodes, order: NDArray[np.int64]) -> Episodes:
    offsets = running(episodes.lengths[order])
    source = spread(episodes.offsets[order], offsets)
    return Episodes(
        episodes.tokens[source],
        episodes.is_action[source],
        episodes.rewards[source],
        offsets,
        episodes.terminated[order],
        episodes.truncated[order],
        None if episodes.logprobs is None else episodes.logprobs[source],
        [{} for _ in range(len(order))],
    )


def _sums(values: NDArray[np.float32], offsets: NDArray[np.int32]) -> NDArray[np.float64]:
    sums = np.zeros(len(offsets) - 1)
    filled = np.flatnonzero(np.diff(offsets))  # reduceat gives an empty run the next value instead of 0
    if len(filled):
        sums[filled] = np.add.reduceat(values, offsets[:-1][filled], dtype=np.float64)
    return sums
