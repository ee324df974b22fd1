"""Claims: while one process writes a file or folder, no other process writes it, and its place is checked.

A claim is a lock of the system (``flock``) on an empty file beside what is claimed: ``.x.lock`` for ``x``. The file is
beside it because ``x`` itself may be renamed, replaced or deleted. The system releases a lock when its process ends,
however it ends, so that another process can continue the work at once. Releasing a claim deletes its file. A file that
a killed process left locks nothing. It may be deleted when no process writes there.
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
        path: what is claimed; it need not exist yet. Its parent folder is made.
        wait: how many seconds to wait if it is already claimed.

    Raises:
        FileExistsError: it is already claimed, by this process or another.
    """

    def __init__(self, path: str | os.PathLike[str], wait: float = 0.0) -> None:
        path = Path(os.path.realpath(path))
        path.parent.mkdir(parents=True, exist_ok=True)
        # A folder whose parent is not writable, such as a mounted one, cannot be renamed or deleted either.
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
        """Whether the claim was not released yet."""
        return self._release.alive

    def release(self) -> None:
        """Releases the claim; a second call does nothing."""
        self._release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def _let_go(lock: filelock.BaseFileLock, file: Path) -> None:
    if lock.is_locked:  # a forked process does not hold the lock
        file.unlink(missing_ok=True)  # before the release: a process that waits for a deleted file makes another
        lock.release()


def is_empty(folder: Path) -> bool:
    """Whether a folder holds nothing except files of claims and an unfinished first file (``config.json.tmp``)."""
    return all(
        path.name == "config.json.tmp" or (path.name.startswith(".") and path.name.endswith(".lock"))
        for path in folder.iterdir()
    )


class Place:
    """A file or folder that must not be deleted, moved or replaced while it is written to; ``check`` tests this.

    The system allows writing to a deleted or replaced file as long as it is open, but what is written is lost.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        # While it is open, no other file gets its inode number. Windows cannot open folders, and does not delete
        # those in use.
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
        """Checks that it is still where it was.

        Raises:
            FileNotFoundError: it was deleted, moved or replaced.
        """
        if not self.stands():
            raise FileNotFoundError(
                f"{self.path} was deleted, moved or replaced while it was written to, and what was written is lost. "
                "Run the same again, and leave it where it is until then."
            )

    def close(self) -> None:
        """Closes the file or folder; a second call does nothing."""
        self._close()
