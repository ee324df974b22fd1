"""Selects the files of a data set that are sent to the hub, and takes the paths of this machine out of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath
from tempfile import TemporaryDirectory
from typing import Any

from datasets_builders.atomic import read_object, write_text
from datasets_builders.checksums import CHECKSUMS, entry_of, read_entries, write_entries
from datasets_builders.hub import CARD

PROVENANCE = "provenance.json"
_FOLDERS = re.compile(r"""(?<![\w.~/\\:<-])(?:~|[A-Za-z]:)?[/\\](?:[^/\\\s"'`<>|]+[/\\])+""")


@contextmanager
def data_files(folder: Path) -> Iterator[dict[str, Path]]:
    """Gives the files of a data set to send: path in the repository -> file.

    Some of these files are temporary; they are deleted when the block ends.
    Of a path of this machine in a provenance or on a page, only the last part is sent.

    Raises:
        ValueError: the data set has no checksums.
    """
    with TemporaryDirectory() as made:
        yield _sent(folder, Path(made))


def without_folders(value: Any) -> Any:
    """A JSON value in which each absolute path is replaced by its last part: "/home/me/logs.csv" by "logs.csv"."""
    if isinstance(value, dict):
        return {key: without_folders(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_folders(item) for item in value]
    if not isinstance(value, str):
        return value
    for kind in (PurePosixPath, PureWindowsPath):  # a text that is one path may have blanks in it
        if kind(value).is_absolute() and "\n" not in value:
            return kind(value).name
    return _FOLDERS.sub("", value)


def _sent(folder: Path, made: Path) -> dict[str, Path]:
    entries = read_entries(folder)
    if entries is None:
        raise ValueError(f"{folder} has no {CHECKSUMS}; save the data set again, which adds one.")
    files = {name: folder / name for name in (*entries, CARD) if (folder / name).is_file()}
    for inner in [Path(name).parent for name in entries if Path(name).name == CHECKSUMS]:
        own = _sent(folder / inner, made / inner)
        files |= {(inner / name).as_posix(): file for name, file in own.items()}
    made.mkdir(exist_ok=True)
    if PROVENANCE in files:
        facts = read_object(files[PROVENANCE])
        if (told := without_folders(facts)) != facts:
            write_text(made / PROVENANCE, json.dumps(told, indent=2))
            files[PROVENANCE] = made / PROVENANCE
    if CARD in files:
        page = files[CARD].read_text(encoding="utf-8")
        if (told := _FOLDERS.sub("", page)) != page:
            write_text(made / CARD, told)
            files[CARD] = made / CARD
    changed = {name: entry_of(files[name]) for name in entries if made in files[name].parents}
    write_entries(made, entries | changed)
    return files | {CHECKSUMS: made / CHECKSUMS}
