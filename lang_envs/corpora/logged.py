"""Conversations: reads the file ``conversations.arrow`` of an imported data set in place.

One row is one conversation of the log. The file is memory-mapped; only the positions of replies are kept in memory.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import xxhash
from numpy.typing import NDArray

from lang_envs.conversation import Conversation, Message, Role
from lang_envs.corpora.files import CorpusError
from lang_envs.corpora.records import brief

if TYPE_CHECKING:
    import pyarrow as pa

FILE = "conversations.arrow"
_ROLES: tuple[Role, ...] = get_args(Role)


@lru_cache(maxsize=1)
def schema() -> pa.Schema:
    """The columns of the file, which has any number of record batches.

    ``messages`` is the whole conversation. ``rewards`` has an entry for each message of the assistant, null if the log
    has no rating for it. ``row`` is the number of the row in the source. Each message of the assistant is one reply.
    Two replies in a row occur only if the data set's markup can write them (``Markup.allows_replies_in_a_row``).
    """
    import pyarrow as pa

    message = pa.struct([("role", pa.string()), ("content", pa.string())])
    return pa.schema(
        [
            ("id", pa.string()),
            ("held_out", pa.bool_()),
            ("messages", pa.list_(message)),
            ("rewards", pa.list_(pa.float64())),
            ("row", pa.int64()),
        ]
    )


@dataclass(frozen=True, eq=False)
class Replies:
    """The positions of the agent's R replies, in the order of the file."""

    conversation: NDArray[np.uint32]
    """[R] the row of the conversation"""
    place: NDArray[np.uint32]
    """[R] the index of the reply among its messages"""
    prompt: NDArray[np.uint64]
    """[R] a 64-bit hash of all messages before the reply; equal for equal prompts"""


class Conversations:
    """The conversations of an imported data set.

    The constructor reads the file once and checks it. For each conversation 1 byte is kept in memory.

    Args:
        folder: the folder of the data set.

    Attributes:
        folder: the folder of the data set.
        held_out: bool [N], whether each of the N conversations is held out.

    Raises:
        CorpusError: there is no such file, or it is damaged.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self._file = self.folder / FILE
        self._batches = _batches(self._file)
        self._first = np.cumsum([0, *map(len, self._batches)])  # [batches + 1] the first row of each
        for batch, first in zip(self._batches, self._first.tolist(), strict=False):
            _check(batch, self._file, first)
        flags = [batch.column("held_out").to_numpy(zero_copy_only=False) for batch in self._batches]
        self.held_out: NDArray[np.bool_] = np.concatenate([np.zeros(0, np.bool_), *flags])

    def __len__(self) -> int:
        return int(self._first[-1])

    def messages(self, row: int, stop: int | None = None) -> Conversation:
        """The messages of a conversation, or the first ``stop`` of them."""
        batch, i = self._at(row)
        column = batch.column("messages")
        start, end = column.offsets[i : i + 2].to_pylist()
        roles, contents = column.values.slice(start, end - start if stop is None else stop).flatten()
        return tuple(map(Message, roles.to_pylist(), contents.to_pylist()))

    def reward(self, row: int, place: int) -> float | None:
        """The log's rating of message ``place`` of a conversation, which must be the agent's; None if there is none."""
        batch, i = self._at(row)
        of_agent = [message.role == "assistant" for message in self.messages(row, place)]
        return batch.column("rewards")[i].as_py()[sum(of_agent)]

    def replies(self) -> Replies:
        """The positions of all replies, 16 bytes for each. Each message of the agent is a reply, also two in a row."""
        parts = [_replies(batch, first) for batch, first in zip(self._batches, self._first.tolist(), strict=False)]
        columns = list(zip(*parts, strict=True)) or [[], [], []]
        kinds = (np.uint32, np.uint32, np.uint64)
        return Replies(*(np.concatenate([np.zeros(0, k), *c]) for k, c in zip(kinds, columns, strict=True)))

    def _at(self, row: int) -> tuple[pa.RecordBatch, int]:
        k = int(np.searchsorted(self._first, row, "right")) - 1
        return self._batches[k], row - int(self._first[k])


def holds_out(folder: str | os.PathLike[str]) -> bool:
    """Whether some conversations of an imported data set are held out; it reads only that column.

    Raises:
        CorpusError: there is no such file, or it is damaged.
    """
    import pyarrow.compute as pc

    return any(bool(pc.any(batch.column("held_out")).as_py()) for batch in _batches(Path(folder) / FILE))


def _batches(file: Path) -> list[pa.RecordBatch]:
    import pyarrow as pa

    if not file.is_file():
        raise CorpusError(f"there is no file {str(file)!r}; expected the folder of a data set of lang-envs import")
    try:
        reader = pa.ipc.open_file(pa.memory_map(str(file)))
        if not reader.schema.equals(schema()):
            raise CorpusError(f"{file}: expected columns {schema().names} of their types, got {reader.schema.names}")
        return [reader.get_batch(k) for k in range(reader.num_record_batches)]
    except (pa.ArrowException, OSError, OverflowError) as error:
        raise _damaged(file, error) from error


def _damaged(file: Path, error: Exception) -> CorpusError:
    return CorpusError(f"{file}: expected a whole Arrow file ({error}); import the log again")


def _check(batch: pa.RecordBatch, file: Path, first: int) -> None:
    """Refuses a damaged record batch, and rows that follow the schema but are not conversations."""
    import pyarrow as pa

    try:
        batch.validate(full=True)  # wrong offsets would read any place in memory
    except pa.ArrowException as error:
        raise _damaged(file, error) from error
    messages, rewards = batch.column("messages"), batch.column("rewards")
    roles, contents = messages.flatten().flatten()
    if any(column.null_count for column in (batch.column("held_out"), messages, rewards, roles, contents)):
        raise CorpusError(f"{file}, from row {first} on: expected messages and rewards in every row, got null")
    code = _codes(roles)  # [M]
    if (code < 0).any():
        odd = roles[int(np.argmin(code))].as_py()
        raise CorpusError(f"{file}, from row {first} on: expected the roles {list(_ROLES)}, got {brief(odd)}")
    said = np.concatenate([[0], np.cumsum(code == _ROLES.index("assistant"))])[_offsets(messages)]  # [n + 1]
    wrong = np.diff(said) != np.diff(_offsets(rewards))  # [n]
    if wrong.any():
        row = first + int(wrong.argmax())
        raise CorpusError(f"{file}, row {row}: expected a reward, or null, for each message of the assistant")


def _offsets(column: Any) -> NDArray[np.int64]:
    """The offsets [n + 1] of n lists among all entries, from 0."""
    found = column.offsets.to_numpy().astype(np.int64)
    return found - found[0]


def _codes(roles: Any) -> NDArray[np.int64]:
    """The index of each role in ``_ROLES`` [M]; -1 for another text."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.fill_null(pc.index_in(roles, pa.array(_ROLES)), -1).to_numpy(zero_copy_only=False).astype(np.int64)


def _replies(batch: pa.RecordBatch, first: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Conversation, place and prompt of the replies in one record batch, [R] each; ``first`` is its first row."""
    messages = batch.column("messages")
    roles, contents = messages.flatten().flatten()
    code, starts = _codes(roles), _offsets(messages)  # [M], [n + 1]
    is_reply = code == _ROLES.index("assistant")  # [M]
    text, bounds = _bytes(contents)  # [M + 1]
    prompts: list[int] = []
    flags, codes, ends = is_reply.tolist(), code.tolist(), bounds.tolist()
    digest = xxhash.xxh3_64_intdigest
    for start, stop in pairwise(starts.tolist()):
        key = 0
        for at in range(start, stop):
            if flags[at]:
                prompts.append(key)
            key = digest(text[ends[at] : ends[at + 1]], key ^ (codes[at] + 1))
    found = np.flatnonzero(is_reply)  # [R]
    row = np.searchsorted(starts, found, "right") - 1  # [R]
    return (first + row).astype(np.uint32), (found - starts[row]).astype(np.uint32), np.array(prompts, np.uint64)


def _bytes(texts: Any) -> tuple[memoryview, NDArray[np.int32]]:
    """The bytes of all texts, and the offsets [M + 1] of each text."""
    _, offsets, content = texts.buffers()
    bounds = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1] if offsets else [0]
    return memoryview(b"" if content is None else content), np.asarray(bounds, np.int32)
