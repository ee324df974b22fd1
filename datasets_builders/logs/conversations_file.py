"""Writes ``conversations.arrow``: the conversations of an import as texts, in the order of their rows."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa

from lang_envs.conversation import Conversation, to_json
from lang_envs.corpora.logged import FILE, schema


class ConversationsFile:
    """Writes the file, a batch of conversations at a time.

    Args:
        folder: the folder of the data set.
    """

    def __init__(self, folder: Path) -> None:
        self._sink = pa.OSFile(str(folder / FILE), "wb")
        self._writer = pa.ipc.new_file(self._sink, schema())
        self._waiting: list[dict[str, Any]] = []

    def __enter__(self) -> ConversationsFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.flush()
            self._writer.close()
        self._sink.close()

    def add(self, name: str, held_out: bool, conversation: Conversation, rewards: list[float | None], row: int) -> None:
        """Adds a conversation; ``rewards`` has one entry for each message of the agent, None where it is not rated."""
        facts = {"id": name, "held_out": held_out, "messages": to_json(conversation), "rewards": rewards, "row": row}
        self._waiting.append(facts)

    def flush(self) -> None:
        """Writes the conversations that were added."""
        if self._waiting:
            self._writer.write_batch(pa.RecordBatch.from_pylist(self._waiting, schema=schema()))
            self._waiting = []
