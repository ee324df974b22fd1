"""Prepares the folder of a piece of work, and protects files that no benchmark made.

``training.json`` holds the settings that the folder was made for. It is the first file written there and is never
removed. A folder with content and without this file was therefore not made by a benchmark, and is refused.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from datasets_builders.atomic import write_text

MARKER = "training.json"
FAILURE = "failure.txt"
"""the traceback of a failed attempt; it may be there without ``MARKER``, if the attempt failed before that"""


def prepare(folder: Path, settings: dict[str, Any]) -> None:
    """Makes the folder, or empties it if it was made for other settings.

    Args:
        folder: of the piece of work.
        settings: what the trained agent or the recording depends on (``Unit.training``).

    Raises:
        ValueError: the folder holds files that no benchmark made.
    """
    (folder / FAILURE).unlink(missing_ok=True)
    marker = folder / MARKER
    if marker.exists():
        if _settings(marker) == settings:
            return
        write_text(marker, "null")  # no settings: if this run is stopped below, the next one empties the folder again
        _empty(folder)
    elif folder.exists() and any(entry.name != f"{MARKER}.tmp" for entry in folder.iterdir()):
        raise ValueError(
            f"{folder} has content but no {MARKER}, so no benchmark made it. It was not changed. Move it away, or "
            "choose another folder for the results."
        )
    folder.mkdir(parents=True, exist_ok=True)
    write_text(marker, json.dumps(settings, indent=1))


def _settings(marker: Path) -> Any:
    try:
        return json.loads(marker.read_text(encoding="utf-8"))
    except ValueError:  # damaged: as if made for other settings
        return None


def _empty(folder: Path) -> None:
    """Removes everything except the marker; of a symbolic link only the link, not its target."""
    for entry in folder.iterdir():
        if entry.name == MARKER:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def check_links(out: Path) -> None:
    """Refuses links that lead out of ``out``, so that nothing outside of it is written or removed.

    Raises:
        ValueError: there is such a link; the error names it.
    """
    root = out.resolve()
    for folder, folders, files in os.walk(out):
        for path in (Path(folder, name) for name in (*folders, *files)):
            if path.is_symlink() and not path.resolve().is_relative_to(root):
                raise ValueError(
                    f"{path} is a link to {path.resolve()}, outside of {out}. Nothing is written or removed there: "
                    f"put a folder in its place, or make {out} itself the link."
                )
