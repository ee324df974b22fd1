"""How far files have been read, for whoever says so while somebody else reads them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import BinaryIO

_watch: ContextVar[Watch | None] = ContextVar("watch", default=None)


class Watch:
    """The files that are read while it watches."""

    def __init__(self) -> None:
        self._shares: dict[Path, Callable[[], float]] = {}
        self._sizes: dict[Path, int] = {}

    def opened(self, path: Path, share: Callable[[], float]) -> None:
        """A file is read from its beginning; ``share`` says how much of it was read so far, in [0, 1]."""
        self._shares[path], self._sizes[path] = share, path.stat().st_size

    def bytes_read(self) -> int:
        """Of all files."""
        return round(sum(self._sizes[path] * share() for path, share in self._shares.items()))


@contextmanager
def watched() -> Iterator[Watch]:
    """Watches what is opened in the block and in generators that are used in it."""
    watch = Watch()
    token = _watch.set(watch)
    try:
        yield watch
    finally:
        _watch.reset(token)


def opens(path: str | os.PathLike[str], share: Callable[[], float]) -> None:
    """Tells whoever watches that a file was opened; see :meth:`Watch.opened`."""
    if (watch := _watch.get()) is not None:
        watch.opened(Path(path), share)


def opens_bytes(path: Path, file: BinaryIO) -> None:
    """The same of a file that says where it is; one that was closed was read whole."""
    if _watch.get() is not None:
        size = max(1, path.stat().st_size)
        opens(path, lambda: 1.0 if file.closed else file.tell() / size)
