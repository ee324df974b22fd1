"""Writes and compares checksums of the files of a folder, so that a damaged file is refused.

``checksums.json`` holds the size and the XXH3 of every file below the folder. It finds damage (a flipped bit, a cut
copy, files of two folders mixed up). It does not find malice: a person who changes a file can change its checksum too.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import xxhash

from datasets_builders.atomic import read_object, write_text

CHECKSUMS = "checksums.json"
ALGORITHM = "xxh3_128"

Entry = dict[str, Any]
"""The size of a file in "bytes" and its checksum as "sum"."""


def write_checksums(folder: Path, known: Mapping[str, Entry] | None = None, leave_out: Collection[str] = ()) -> None:
    """Records size and checksum of every file below ``folder``. Call it after all other files are written.

    Args:
        folder: the folder of the files.
        known: entries that are already known, by file name; these files are not read again.
        leave_out: names of files that get no entry, because people may edit them.
    """
    known = known or {}
    files = sorted(file for file in folder.rglob("*") if file.is_file() and file != folder / CHECKSUMS)
    names = [(file.relative_to(folder).as_posix(), file) for file in files]
    write_entries(folder, {name: known.get(name) or entry_of(file) for name, file in names if name not in leave_out})


def write_entries(folder: Path, entries: Mapping[str, Entry]) -> None:
    """Writes the ``checksums.json`` of ``folder`` with these entries."""
    write_text(folder / CHECKSUMS, json.dumps({"algorithm": ALGORITHM, "files": dict(entries)}, indent=1))


def read_entries(folder: Path) -> dict[str, Entry] | None:
    """The entries in the ``checksums.json`` of ``folder``; None if there is no such file.

    Raises:
        ValueError: the file cannot be read.
    """
    listed = folder / CHECKSUMS
    return _entries(listed) if listed.exists() else None


def entry_of(file: Path) -> Entry:
    """Size and checksum of a file as it is now."""
    return {"bytes": file.stat().st_size, "sum": checksum(file)}


def compare(file: Path, entry: Entry) -> None:
    """Compares a file with its entry.

    Raises:
        ValueError: the file is missing, or its size or checksum differs; the message names the file.
    """
    if not file.is_file():
        raise ValueError(f"{file} is missing: copy the folder {file.parent} again, or make it anew.")
    if (size := file.stat().st_size) != entry["bytes"]:
        raise ValueError(f"{file} has {size} bytes where {entry['bytes']} were written: {_ADVICE}")
    if checksum(file) != entry["sum"]:
        raise ValueError(f"{file} is not what was written (its checksum differs): {_ADVICE}")


_ADVICE = f"copy the folder again or make it anew; if the change is intended, delete its {CHECKSUMS}."


def verify(folder: Path) -> None:
    """Compares every file that was there when the folder was written; files added since are not looked at.

    Every file is read once. A folder without checksums, as earlier versions wrote it, causes a warning.

    Raises:
        ValueError: a file is missing or was changed, or the checksums themselves cannot be read; the message names the
            file.
    """
    entries = read_entries(folder)
    if entries is None:
        warnings.warn(
            f"{folder} has no {CHECKSUMS} (it was written by an earlier version, or the file was removed), so that "
            "damage to it may go unnoticed. Save it again to add one.",
            stacklevel=3,
        )
        return
    for name, entry in entries.items():
        compare(folder / name, entry)


def checksum(file: Path) -> str:
    """The XXH3 (128 bits) of a file's content, in hexadecimal digits."""
    with file.open("rb", buffering=0) as content:
        return hashlib.file_digest(content, xxhash.xxh3_128).hexdigest()


def _entries(listed: Path) -> dict[str, Entry]:
    """The entries of a ``checksums.json``, each checked."""
    found = read_object(listed)
    entries = found.get("files")
    if found.get("algorithm") != ALGORITHM or not isinstance(entries, dict):
        raise ValueError(
            f"{listed}: expected the algorithm {ALGORITHM!r} and an object of 'files'; delete the file to do without."
        )
    for name, entry in entries.items():
        inside = not Path(name).is_absolute() and ".." not in Path(name).parts
        if not inside or not isinstance(entry, dict) or entry.keys() != {"bytes", "sum"}:
            raise ValueError(
                f"{listed}: expected the 'bytes' and the 'sum' of a file in the folder, got {name!r}: {entry!r}."
            )
    return entries
