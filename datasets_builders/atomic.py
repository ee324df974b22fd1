"""Files that are whole wherever they are seen, and what to say of one that is not."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A place beside ``path`` to write to; what is there in the end takes the place of ``path``, in one step.

    Whoever is stopped before leaves ``path`` as it was, and a file called ``<name>.tmp`` that the next one overwrites.
    A link of that name is removed and not followed.

    Raises:
        OSError: ``path`` is a folder with something in it; what was written is removed.
    """
    temporary = path.with_name(f"{path.name}.tmp")
    if temporary.is_symlink():
        temporary.unlink()
    yield temporary
    try:
        os.replace(temporary, path)
    except OSError:
        if temporary.is_dir():
            shutil.rmtree(temporary)
        else:
            temporary.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Writes a text file whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        ValueError: there is none in it, or it cannot be read; naming the file.
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
