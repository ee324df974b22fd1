"""Folders that take the place of others: at every instant one of them is whole, and can be found.

    x             what readers open
    x.partial     the next one in the making; whole once it has its checksums, which are written last
    x.replaced    what was ``x``, from when it makes way until the next one is ``x``

Whoever is stopped in between leaves ``x``, or else a whole ``x.partial`` or ``x.replaced``: ``whole`` says which.
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
"""seconds to wait for another that replaces the same folder"""
_READINGS = 3


@contextmanager
def replacing_folder(folder: Path, leave_out: Collection[str] = ()) -> Iterator[Path]:
    """A new folder to write to, which takes the place of ``folder`` in the end; an error leaves that as it was.

    The caller has claimed ``folder``, or a folder that it is in.

    Args:
        folder: whose place it takes.
        leave_out: names of files that anybody may change; they get no checksums.

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
    """Where the newest whole folder is: in its place, or where an interruption left it; ``folder`` if there is none."""
    new, old = _beside(folder)
    if folder.exists():
        return folder
    if _is_whole(new):
        return new
    return old if old.exists() else folder


def read_whole(folder: Path, read: Callable[[Path], T]) -> T:
    """What ``read`` makes of the newest whole folder; it reads again where that was replaced meanwhile.

    Where it is replaced again and again, it is claimed first.
    """
    for _ in range(_READINGS):
        found = whole(folder)
        try:
            place = Place(found)
        except FileNotFoundError:  # there is none, or it was replaced in this instant
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
        return read(folder)  # which says that there is none
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
    """Puts what an interruption left in its place, and only then deletes the rest."""
    if (found := whole(folder)) != folder:
        os.replace(found, folder)
    for left_over in _beside(folder):
        shutil.rmtree(left_over, ignore_errors=True)


def _beside(folder: Path) -> tuple[Path, Path]:
    return folder.with_name(f"{folder.name}.partial"), folder.with_name(f"{folder.name}.replaced")
