"""read_once: caches what was read from files until they change, so that environments of one corpus share it."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache, wraps
from pathlib import Path
from typing import TypeVar

R = TypeVar("R")
State = tuple[tuple[str, int, int, int], ...]

_SETTLED = 10**9  # nanoseconds; a file may change twice within one tick of the file system's clock


def read_once(most: int) -> Callable[[Callable[[Path], R]], Callable[[Path], R]]:
    """A decorator for a function that reads a file or a folder; it caches the last ``most`` results.

    A result is used again while the names, sizes and dates of the files are the same. These are the files in the
    folder, or the file and those beside it. Files written within the last second are read again. Results are shared, so
    callers must not change them.
    """

    def decorated(read: Callable[[Path], R]) -> Callable[[Path], R]:
        @lru_cache(maxsize=most)
        def known(path: Path, state: State) -> R:
            return read(path)

        @wraps(read)
        def again(path: Path) -> R:
            path = path.resolve()
            state = _state(path)
            changed = max((date for _, _, _, date in state), default=0)
            return known(path, state) if time.time_ns() - changed > _SETTLED else read(path)

        return again

    return decorated


def _state(path: Path) -> State:
    """Names, inode numbers, sizes and dates of the files that a result may depend on."""
    found = []
    for file in sorted(path.rglob("*") if path.is_dir() else path.parent.glob("*")):
        try:
            about = file.stat()
        except OSError:  # a link that leads nowhere
            continue
        found.append((str(file), about.st_ino, about.st_size, about.st_mtime_ns))
    return tuple(found)
