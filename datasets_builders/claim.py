"""Claims: what one process writes, no other writes at the same time, and it stays where it is meanwhile.

A claim is a lock of the system (``flock``) on an empty file beside what is claimed: ``.x.lock`` for ``x``. The file is
beside it because ``x`` itself may be renamed, replaced or deleted. The system lets go of a lock when its process ends,
however it ends, so that work can be gone on with at once. The file goes with the claim; one that a killed process left
behind locks nothing, and may be deleted when nobody is at work there.
"""

from __future__ import annotations

import os
import weakref
from pathlib import Path
from typing import Self

import filelock


class Claim:
    """A file or folder that this process alone may write, until ``release``, the end of a ``with``, or its own end.

    Args:
        path: what is claimed; it need not be there yet. The folder it is to be in is made.
        wait: for how many seconds to wait where another has claimed it.

    Raises:
        FileExistsError: another has claimed it, in this process or another.
    """

    def __init__(self, path: str | os.PathLike[str], wait: float = 0.0) -> None:
        path = Path(os.path.realpath(path))
        path.parent.mkdir(parents=True, exist_ok=True)
        # Where nobody may write beside a folder, as beside one that is mounted, it cannot be renamed or deleted either.
        beside = path.parent if os.access(path.parent, os.W_OK) or not path.is_dir() else path
        file = beside / f".{path.name}.lock"
        lock = filelock.FileLock(file, thread_local=False)  # a generator may be closed by another thread
        try:
            lock.acquire(timeout=wait)
        except filelock.Timeout:
            raise FileExistsError(
                f"Another run, recording or export is at work in {path}. Wait until it is done, or choose another "
                "place."
            ) from None
        self._release = weakref.finalize(self, _let_go, lock, file)

    @property
    def held(self) -> bool:
        """Whether it was not let go of yet."""
        return self._release.alive

    def release(self) -> None:
        """Lets go of it; a second call does nothing."""
        self._release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def _let_go(lock: filelock.BaseFileLock, file: Path) -> None:
    if lock.is_locked:  # it is not in a fork
        file.unlink(missing_ok=True)  # first: who waits for a file that is gone begins with another
        lock.release()


def is_empty(folder: Path) -> bool:
    """Whether there is nothing in a folder but what claims leave, and whoever was stopped in writing its first file."""
    return all(
        path.name == "config.json.tmp" or (path.name.startswith(".") and path.name.endswith(".lock"))
        for path in folder.iterdir()
    )


class Place:
    """A file or folder that must stay what it is while it is written to, which ``check`` looks at.

    What was deleted or replaced can be written to for as long as it is open, and nobody finds what was written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        # Held open, its number is given to no other file. Some systems open no folders, and delete none in use.
        self._handle = None if os.name == "nt" and path.is_dir() else os.open(path, os.O_RDONLY)
        self._close = weakref.finalize(self, os.close, self._handle) if self._handle is not None else lambda: None

    def stands(self) -> bool:
        """Whether it is still where it was."""
        try:
            now = os.stat(self.path)
        except OSError:
            return False
        return self._handle is None or os.path.samestat(now, os.fstat(self._handle))

    def check(self) -> None:
        """Looks whether it is still where it was.

        Raises:
            FileNotFoundError: it is not.
        """
        if not self.stands():
            raise FileNotFoundError(
                f"{self.path} was deleted, moved or replaced while it was written to, and what was written is lost. "
                "Run the same again, and leave it where it is until then."
            )

    def close(self) -> None:
        """Stops looking; a second call does nothing."""
        self._close()
