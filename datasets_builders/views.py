"""Views record batches as numpy arrays, checks them once, and gathers episodes without a loop over them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from datasets_builders.storage import COLUMNS, DatasetError
from lang_envs.episode import Episodes

_CHECKED_AT_ONCE = 65_536  # rows; bounds the memory a check takes
_ROUNDING = 1e-3  # of a log-probability of 0
_ADVICE = "the file is damaged or was not made by this package; copy it again, or record it anew"


class Bits(NamedTuple):
    """Arrow's packed booleans."""

    data: NDArray[np.uint8]
    offset: int

    def at(self, positions: NDArray[np.int64]) -> NDArray[np.bool_]:
        """The bits [n] at ``positions`` [n]."""
        where = positions + self.offset if self.offset else positions
        found = self.data.take(where >> 3)
        found >>= where.astype(np.uint8) & 7
        found &= 1
        return found.view(np.bool_)

    def span(self, start: int, stop: int) -> NDArray[np.bool_]:
        """The bits from ``start`` to ``stop``."""
        first = start + self.offset
        unpacked = np.unpackbits(self.data[first >> 3 : (stop + self.offset + 7) >> 3], bitorder="little")
        return unpacked[first & 7 : (first & 7) + stop - start].view(np.bool_)


def _bits(array: pa.BooleanArray) -> Bits:
    return Bits(np.frombuffer(array.buffers()[1] or b"", np.uint8), array.offset)


def _items(buffer: pa.Buffer, dtype: Any, first: int, count: int) -> NDArray[Any]:
    """``count`` values of a buffer from position ``first`` on; the buffer may be longer."""
    return np.frombuffer(buffer, dtype, count, first * np.dtype(dtype).itemsize)


def _flat(array: pa.ListArray) -> tuple[NDArray[np.int32], pa.Array]:
    """Offsets [B + 1] from 0 and the values that they point into; nothing is copied unless the array was sliced."""
    buffer = array.buffers()[1]
    if not len(array) or buffer is None:
        return np.zeros(len(array) + 1, np.int32), array.values
    offsets = _items(buffer, np.int32, array.offset, len(array) + 1)
    values = array.values
    if offsets.min() >= 0 and offsets[0] > 0:
        return offsets - offsets[0], values.slice(offsets[0])
    return offsets, values


def _numbers(array: pa.Array, dtype: Any) -> NDArray[Any]:
    buffer = array.buffers()[1]
    return np.zeros(0, dtype) if buffer is None else _items(buffer, dtype, array.offset, len(array))


@dataclass(frozen=True)
class Chunk:
    """One record batch as numpy views of its buffers: B episodes, N tokens, A actions."""

    batch: pa.RecordBatch
    tokens: NDArray[Any]  # [N] uint8, uint16 or int32
    offsets: NDArray[np.int32]  # [B + 1] into tokens and is_action
    is_action: Bits  # [N]
    rewards: NDArray[np.float32]  # [A]
    action_offsets: NDArray[np.int32]  # [B + 1] into rewards
    logprobs: NDArray[np.float32] | None  # one per action of the episodes that have them
    logprob_offsets: NDArray[np.int32]  # [B + 1] into logprobs
    terminated: Bits  # [B]
    truncated: Bits  # [B]

    @classmethod
    def of(cls, batch: pa.RecordBatch, where: str = "the data set") -> Chunk:
        """Views of a record batch.

        Raises:
            DatasetError: columns are missing, of another type, or contradict one another; the message names ``where``.
        """
        _check_types(batch, where)
        column = {name: batch.column(name) for name in COLUMNS}
        offsets, tokens = _flat(column["tokens"])
        action_list_offsets, is_action = _flat(column["is_action"])
        action_offsets, rewards = _flat(column["rewards"])
        logprob_offsets, logprobs = _flat(column["logprobs"])
        unknown = column["logprobs"].null_count == len(batch)
        chunk = cls(
            batch,
            _numbers(tokens, tokens.type.to_pandas_dtype()),
            offsets,
            _bits(is_action),
            _numbers(rewards, np.float32),
            action_offsets,
            None if unknown else _numbers(logprobs, np.float32),
            logprob_offsets,
            _bits(column["terminated"]),
            _bits(column["truncated"]),
        )
        _check_offsets(where, "tokens", offsets, len(tokens), shortest=1)
        _check_offsets(where, "is_action", action_list_offsets, len(is_action))
        _check_offsets(where, "rewards", action_offsets, len(rewards))
        _check_offsets(where, "logprobs", logprob_offsets, len(logprobs))
        _check_equal(where, "is_action", "entries", "tokens", np.diff(action_list_offsets), np.diff(offsets))
        chunk._check_counts(where)
        return chunk

    def __len__(self) -> int:
        return len(self.batch)

    def gather(self, rows: NDArray[np.int64]) -> Episodes:
        """Copies the episodes ``rows`` [n] of this batch."""
        after = rows + 1
        first = self.offsets[rows]  # [n]
        offsets = running(self.offsets[after] - first)
        source = spread(first, offsets)  # [sum of lengths]
        is_action = self.is_action.at(source)
        rewards = np.zeros(len(source), np.float32)
        first = self.action_offsets[rows]
        acting = self.action_offsets[after] - first  # [n]
        rewards[is_action] = self.rewards.take(spread(first, running(acting)))
        logprobs = None
        if self.logprobs is not None:
            first = self.logprob_offsets[rows]
            known = self.logprob_offsets[after] - first  # [n] as many as actions, or 0
            if known.any():
                logprobs = np.full(len(source), np.nan, np.float32)
                spoken = np.repeat(known > 0, acting)  # [sum of acting]
                logprobs[np.flatnonzero(is_action)[spoken]] = self.logprobs.take(spread(first, running(known)))
        return Episodes(
            self.tokens.take(source).astype(np.int32),
            is_action,
            rewards,
            offsets,
            self.terminated.at(rows),
            self.truncated.at(rows),
            logprobs,
            [{} for _ in range(len(rows))],
        )

    def check_episodes(self, where: str, vocab_size: int | None, first: int = 0) -> None:
        """Makes the checks of :class:`~lang_envs.episode.Episode` for all episodes at once.

        Args:
            where: the name of the file for errors.
            vocab_size: the tokenizer's number of tokens; None if there is no tokenizer.
            first: the number of the first episode, for errors.

        Raises:
            DatasetError: an episode contradicts itself; the message names the episode and the field.
        """
        try:
            self.batch.validate(full=True)
        except pa.ArrowException as error:
            raise DatasetError(f"{where}: expected whole Arrow columns ({error}): {_ADVICE}") from error
        rows, nothing = np.arange(len(self)), np.zeros(0, np.float32)
        tokens, rewards = self.tokens[: self.offsets[-1]], self.rewards[: self.action_offsets[-1]]
        logprobs = nothing if self.logprobs is None else self.logprobs[: self.logprob_offsets[-1]]
        opening = self.is_action.at(self.offsets[:-1].astype(np.int64))
        largest = float(np.finfo(np.float32).max)
        for field, expected, place, offsets in (
            (
                "tokens",
                f"ids below {vocab_size}",
                _first_outside(tokens, 0, (vocab_size or 2**31) - 1),
                self.offsets,
            ),
            ("is_action", "the first token to be observed, no action", _first(opening), None),
            ("rewards", "finite numbers", _first_outside(rewards, -largest, largest), self.action_offsets),
            (
                "logprobs",
                "finite numbers of at most 0, or null",
                _first_outside(logprobs, -largest, _ROUNDING, or_nan=True),
                self.logprob_offsets,
            ),
            (
                "terminated",
                "an end or a cut ('truncated'), not both",
                _first(self.terminated.at(rows) & self.truncated.at(rows)),
                None,
            ),
            ("info", "a JSON object", self._no_object(), None),
        ):
            if place is not None:
                episode = place if offsets is None else int(np.searchsorted(offsets, place, "right")) - 1
                raise DatasetError(
                    f"{where}, episode {first + episode}, field {field!r}: expected {expected}: {_ADVICE}"
                )

    def _no_object(self) -> int | None:
        """The position of the first info that is not a JSON object; None if there is none."""
        for start in range(0, len(self), _CHECKED_AT_ONCE):
            infos = self.batch.column("info").slice(start, _CHECKED_AT_ONCE).dictionary_encode()  # parse each text once
            wrong = np.array([not _is_object(text) for text in infos.dictionary.to_pylist()], np.bool_)
            if wrong.any():
                return start + int(wrong[infos.indices.to_numpy()].argmax())
        return None

    def _check_counts(self, where: str) -> None:
        for start in range(0, len(self), _CHECKED_AT_ONCE):
            stop = min(start + _CHECKED_AT_ONCE, len(self))
            bounds = self.offsets[start : stop + 1].astype(np.int64)  # [n + 1]
            acted = self.is_action.span(int(bounds[0]), int(bounds[-1]))
            actions = np.add.reduceat(acted, bounds[:-1] - bounds[0], dtype=np.int64)  # [n]; no episode is empty
            rewarded = np.diff(self.action_offsets[start : stop + 1])
            _check_equal(where, "rewards", "values", "actions", rewarded, actions, start)
            spoken = np.diff(self.logprob_offsets[start : stop + 1])
            _check_equal(where, "logprobs", "values", "actions", spoken, np.where(spoken > 0, actions, 0), start)


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def _first(bad: NDArray[np.bool_]) -> int | None:
    """The first position where ``bad`` is true; None if there is none."""
    return int(bad.argmax()) if bad.any() else None


def _first_outside(values: NDArray[Any], low: float, high: float, or_nan: bool = False) -> int | None:
    """The position of the first value outside of [low, high]; None if there is none. Nothing is copied in that case."""
    least, most = (np.fmin, np.fmax) if or_nan else (np.minimum, np.maximum)
    if not len(values) or (least.reduce(values) >= low and most.reduce(values) <= high):
        return None
    inside = (values >= low) & (values <= high)
    return _first(~(inside | np.isnan(values)) if or_nan else ~inside)


def _check_types(batch: pa.RecordBatch, where: str) -> None:
    missing = [name for name in COLUMNS if name not in batch.schema.names]
    if missing:
        raise DatasetError(
            f"{where}: expected the columns {list(COLUMNS)}, {missing} missing; is it a data set of episodes?"
        )
    floats = pa.list_(pa.float32())
    token_types = [pa.list_(pa.uint8()), pa.list_(pa.uint16()), pa.list_(pa.int32())]
    expected = (
        token_types,
        [pa.list_(pa.bool_())],
        [floats],
        [floats],
        [pa.bool_()],
        [pa.bool_()],
        [pa.int64()],
        [pa.string()],
    )
    for name, types in zip(COLUMNS, expected, strict=True):
        column = batch.column(name)
        if column.type not in types:
            raise DatasetError(f"{where}, field {name!r}: expected {' or '.join(map(str, types))}, got {column.type}")
        nulls = column.null_count if name not in ("logprobs", "seed") else 0
        if pa.types.is_list(column.type):
            nulls += column.values.null_count
        if nulls:
            raise DatasetError(f"{where}, field {name!r}: expected a value everywhere, {nulls} are null")


def _check_offsets(where: str, field: str, offsets: NDArray[np.int32], size: int, shortest: int = 0) -> None:
    """Checks that lengths are at least ``shortest`` and that the offsets end inside the ``size`` values."""
    bad = np.flatnonzero((np.diff(offsets) < shortest) | (offsets[1:] > size) | (offsets[:-1] < 0))
    if len(bad):
        start, stop = offsets[bad[0]], offsets[bad[0] + 1]
        raise DatasetError(
            f"{where}, episode {bad[0]}, field {field!r}: it runs from {start} to {stop} of {size} values; "
            f"expected at least {shortest} of them, in order: {_ADVICE}"
        )


def _check_equal(
    where: str, field: str, have: str, want: str, got: NDArray[Any], expected: NDArray[Any], first: int = 0
) -> None:
    bad = np.flatnonzero(got != expected)
    if len(bad):
        raise DatasetError(
            f"{where}, episode {first + bad[0]}, field {field!r}: {got[bad[0]]} {have} for {expected[bad[0]]} {want}; "
            f"{_ADVICE}"
        )


def running(lengths: NDArray[Any]) -> NDArray[np.int64]:
    """The offsets [n + 1] of n consecutive runs with these lengths [n]: where each begins, and where the last ends."""
    offsets = np.empty(len(lengths) + 1, np.int64)
    offsets[0] = 0
    lengths.cumsum(dtype=np.int64, out=offsets[1:])
    return offsets


def spread(starts: NDArray[Any], offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """The positions of all runs b in one array: run b starts at ``starts[b]``, and its positions at ``offsets[b]``."""
    positions = (starts - offsets[:-1]).repeat(offsets[1:] - offsets[:-1])
    positions += np.arange(len(positions))
    return positions
