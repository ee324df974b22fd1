"""The folder of a piece of work: nothing is removed in it, or written, that a benchmark did not make.

``training.json`` says for which settings it was made. It is the first file written there and never removed, so that a
folder with content and without it is somebody else's.
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
"""the traceback of an attempt that failed, which may have come before everything else"""


def prepare(folder: Path, settings: dict[str, Any]) -> None:
    """Makes the folder, or empties it where it was made for other settings.

    Raises:
        ValueError: it holds what no benchmark made.
    """
    (folder / FAILURE).unlink(missing_ok=True)
    marker = folder / MARKER
    if marker.exists():
        if _settings(marker) == settings:
            return
        write_text(marker, "null")  # the settings of nothing: whoever is stopped below begins again
        _empty(folder)
    elif folder.exists() and any(entry.name != f"{MARKER}.tmp" for entry in folder.iterdir()):
        raise ValueError(
            f"{folder} holds no {MARKER}, so that no benchmark made it, and it is left as it is. Move it away, or "
            "choose another folder for the results."
        )
    folder.mkdir(parents=True, exist_ok=True)
    write_text(marker, json.dumps(settings, indent=1))


def _settings(marker: Path) -> Any:
    try:
        return json.loads(marker.read_text(encoding="utf-8"))
    except ValueError:  # damaged: it is of no settings
        return None


def _empty(folder: Path) -> None:
    """Removes everything but the marker; of a link, the link."""
    for entry in folder.iterdir():
        if entry.name == MARKER:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def check_links(out: Path) -> None:
    """Refuses results of which a part lies elsewhere: what is written or removed there must be below ``out``.

    Raises:
        ValueError: naming the link that leads out.
    """
    root = out.resolve()
    for folder, folders, files in os.walk(out):
        for path in (Path(folder, name) for name in (*folders, *files)):
            if path.is_symlink() and not path.resolve().is_relative_to(root):
                raise ValueError(
                    f"{path} is a link to {path.resolve()}, outside of {out}. Nothing is written or removed there: "
                    f"put a folder in its place, or make {out} itself the link."
                )
