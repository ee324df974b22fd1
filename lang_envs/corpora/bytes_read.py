"""Counts the bytes that were read of corpus files, so that a caller can show the progress of code that reads them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import BinaryIO

_watch: ContextVar[Watch | None] = ContextVar("watch", default=None)


class Watch:
    """The files that were opened during :func:`watched`."""

    def __init__(self) -> None:
        self._shares: dict[Path, Callable[[], float]] = {}
        self._sizes: dict[Path, int] = {}

    def opened(self, path: Path, share: Callable[[], float]) -> None:
        """Adds a file that is read from its beginning; ``share`` returns the share of it that was read, in [0, 1]."""
        self._shares[path], self._sizes[path] = share, path.stat().st_size

    def bytes_read(self) -> int:
        """The bytes that were read of all files."""
        return round(sum(self._sizes[path] * share() for path, share in self._shares.items()))


@contextmanager
def watched() -> Iterator[Watch]:
    """Counts for files that are opened in the block, also by generators that are used in it."""
    watch = Watch()
    token = _watch.set(watch)
    try:
        yield watch
    finally:
        _watch.reset(token)


def opens(path: str | os.PathLike[str], share: Callable[[], float]) -> None:
    """Reports that a file was opened, if anything watches; see :meth:`Watch.opened`."""
    if (watch := _watch.get()) is not None:
        watch.opened(Path(path), share)


def opens_bytes(path: Path, file: BinaryIO) -> None:
    """Reports the same for a binary file, whose position gives the share; a closed file counts as read."""
    if _watch.get() is not None:
        size = max(1, path.stat().st_size)
        opens(path, lambda: 1.0 if file.closed else file.tell() / size)
