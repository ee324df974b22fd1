"""Files that were read are not read again while they are what they were: environments of one corpus share it."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache, wraps
from pathlib import Path
from typing import TypeVar

R = TypeVar("R")
State = tuple[tuple[str, int, int, int], ...]

_SETTLED = 10**9  # nanoseconds: a file may change twice in one tick of the clock that dates it


def read_once(most: int) -> Callable[[Callable[[Path], R]], Callable[[Path], R]]:
    """A decorator of what reads a file or a folder, which keeps the last ``most`` results.

    Such a result is given again while the files have the same names, sizes and dates: those of the folder, or the file
    and what lies beside it. Files written within the last second are read again. Results are shared: nobody may change
    one.
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
    """Names, numbers, sizes and dates of the files that a result may depend on."""
    found = []
    for file in sorted(path.rglob("*") if path.is_dir() else path.parent.glob("*")):
        try:
            about = file.stat()
        except OSError:  # a link that leads nowhere
            continue
        found.append((str(file), about.st_ino, about.st_size, about.st_mtime_ns))
    return tuple(found)
