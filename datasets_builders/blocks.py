"""The files of a recording in the making, and the lock on their folder."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from datasets_builders.storage import DatasetError


class BlockFile(NamedTuple):
    """Blocks ``first`` to ``last`` of a recording, as one record batch."""

    first: int
    last: int
    path: Path

    @classmethod
    def of(cls, path: Path) -> BlockFile:
        """Reads the numbers off the file's name.

        Raises:
            DatasetError: there are none.
        """
        numbers = re.fullmatch(r"data-(\d{8,})-(\d{8,})\.arrow", path.name)
        if numbers is None:
            raise DatasetError(f"{path}: expected a name such as {block_name(0, 3)}; take the file away")
        return cls(int(numbers[1]), int(numbers[2]), path)


def block_name(first: int, last: int) -> str:
    """The name of the file of these blocks."""
    return f"data-{first:08d}-{last:08d}.arrow"


def lock(folder: Path) -> Callable[[], Any]:
    """Keeps any other recording out until the returned function is called, or the process ends."""
    try:
        import fcntl
    except ImportError:
        return lambda: None  # a system without such locks
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        raise FileExistsError(
            f"{folder} is being written by another recording; wait for it or choose another folder"
        ) from error
    return partial(os.close, handle)
