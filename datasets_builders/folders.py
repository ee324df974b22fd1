"""Replaces one folder by another, so that at every instant a whole folder can be found.

    x             the folder that readers open
    x.partial     the new folder; it is whole once it has its checksums, which are written last
    x.replaced    the old folder, from when it is moved away until the new one is ``x``

A process that is killed in between leaves ``x``, or else a whole ``x.partial`` or ``x.replaced``. ``whole`` finds it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from datasets_builders.atomic import tell_full_disk
from datasets_builders.checksums import CHECKSUMS, verify, write_checksums
from datasets_builders.claim import Claim, Place

T = TypeVar("T")
WAIT = 600.0
"""seconds to wait for another process that replaces the same folder"""
_READINGS = 3


@contextmanager
def replacing_folder(folder: Path, leave_out: Collection[str] = ()) -> Iterator[Path]:
    """Gives a new folder to write to. It replaces ``folder`` when the block ends; an error leaves ``folder`` as it was.

    The caller must have claimed ``folder``, or a folder that it is in.

    Args:
        folder: the folder to replace; it need not exist.
        leave_out: names of files that get no checksum, because people may edit them.

    Raises:
        OSError: the disk is full, or the new folder was deleted meanwhile.
    """
    new, old = _beside(folder)
    _tidy(folder)
    new.mkdir(parents=True)
    place = Place(new)
    try:
        yield new
        write_checksums(new, leave_out=leave_out)
        place.check()
    except Exception as error:
        place.check()
        shutil.rmtree(new, ignore_errors=True)
        tell_full_disk(error, f"make room for {folder} and start again; what was whole before is as it was")
        raise
    finally:
        place.close()
    if folder.exists():
        os.replace(folder, old)
    os.replace(new, folder)
    shutil.rmtree(old, ignore_errors=True)


def whole(folder: Path) -> Path:
    """The newest whole folder: ``folder`` itself, or what an interruption left; ``folder`` too if there is none."""
    new, old = _beside(folder)
    if folder.exists():
        return folder
    if _is_whole(new):
        return new
    return old if old.exists() else folder


def read_whole(folder: Path, read: Callable[[Path], T]) -> T:
    """The result of ``read`` on the newest whole folder; it reads again if the folder was replaced meanwhile.

    If the folder is replaced three times, it is claimed before it is read again.
    """
    for _ in range(_READINGS):
        found = whole(folder)
        try:
            place = Place(found)
        except FileNotFoundError:  # there is no folder, or it was replaced in this instant
            continue
        try:
            result = read(found)
            if place.stands():
                return result
        except (ValueError, OSError):
            if place.stands() and found == whole(folder):
                raise
        finally:
            place.close()
    if not whole(folder).exists():
        return read(folder)  # this raises the error for a missing folder
    with Claim(folder, wait=WAIT):
        return read(whole(folder))


def _is_whole(new: Path) -> bool:
    if not (new / CHECKSUMS).exists():
        return False
    try:
        verify(new)
    except (ValueError, OSError):
        return False
    return True


def _tidy(folder: Path) -> None:
    """Moves the whole folder that an interruption left to its place, and then deletes the rest."""
    if (found := whole(folder)) != folder:
        os.replace(found, folder)
    for left_over in _beside(folder):
        shutil.rmtree(left_over, ignore_errors=True)


def _beside(folder: Path) -> tuple[Path, Path]:
    return folder.with_name(f"{folder.name}.partial"), folder.with_name(f"{folder.name}.replaced")
