"""The files of a recording in the making."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

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
