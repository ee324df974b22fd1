"""Writes files in one step, so that no reader sees half a file, and reads JSON objects with errors in words."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives a temporary path beside ``path``. When the block ends, the file there replaces ``path`` in one step.

    An error leaves ``path`` as it was. A process that is killed inside the block leaves the temporary file
    ``<name>.tmp``, which the next call overwrites. A link of that name is removed and not followed.

    Raises:
        OSError: ``path`` is a folder with something in it; what was written is removed.
    """
    temporary = path.with_name(f"{path.name}.tmp")
    if temporary.is_symlink():
        temporary.unlink()
    try:
        yield temporary
        os.replace(temporary, path)
    except BaseException:
        if temporary.is_dir():
            shutil.rmtree(temporary)
        else:
            temporary.unlink(missing_ok=True)
        raise


def tell_full_disk(error: Exception, advice: str) -> None:
    """Raises an error with ``advice`` if ``error`` means that the disk is full; otherwise does nothing.

    Libraries that are written in Rust give the number of the system's error only in the text of their exceptions.

    Raises:
        OSError: the disk is full, or the system refuses files of this size.
    """
    number = getattr(error, "errno", None)
    if number is None and (named := re.search(r"\(os error (\d+)\)", str(error))):
        number = int(named[1])
    if number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        raise OSError(number, f"the disk is full ({error}); {advice}") from error


def write_text(path: Path, text: str) -> None:
    """Writes a text file whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        ValueError: the file holds no object, or it cannot be read; the message names the file.
    """
    try:
        if not path.is_file():  # a device would be read without end
            raise OSError("it is missing, or it is no file")
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} should hold a JSON object, and cannot be read: {error}") from None
    if not isinstance(found, dict):
        raise ValueError(f"{path} should hold a JSON object, and holds a {type(found).__name__}.")
    return found
