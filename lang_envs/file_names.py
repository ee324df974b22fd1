"""Names from data as names of files: the one place that says which of them may become part of a path.

A label, the name of an experiment or of a corpus is a text that somebody wrote into a file. As one part of a path it
must stay in the folder it is put into, on every system, and stand for a file and not for a device.
"""

from __future__ import annotations

import unicodedata
from typing import Any

LONGEST = 200
"""bytes of a name; file systems hold 255, and endings are added"""
_SEPARATORS = "/\\:"  # of any system: a colon ends the name of a drive
_DEVICES = {"con", "prn", "aux", "nul", "conin$", "conout$"} | {
    f"{port}{digit}" for port in ("com", "lpt") for digit in "0123456789¹²³"
}


def component(name: Any, what: str = "the name") -> str:
    """``name``, if it can be one part of a path.

    Args:
        name: what should become the name of a file or folder.
        what: whose name it is, for the error.

    Raises:
        ValueError: saying what is wrong with it.
    """
    if fault := _fault(name):
        shown = repr(name)
        shown = shown if len(shown) <= 80 else f"{shown[:80]}..."
        raise ValueError(
            f"{what}: {shown} becomes the name of a file, and {fault}. Use letters, digits, blanks and '-'."
        )
    return name


def _fault(name: Any) -> str:
    """Why it cannot be; empty where it can."""
    if not isinstance(name, str):
        return f"must be a text, not {type(name).__name__}"
    if not name.strip():
        return "is empty"
    if not name.isprintable():
        return "holds a character that cannot be printed"
    if found := next((separator for separator in _SEPARATORS if separator in name), None):
        return f"holds {found!r}, which separates the parts of a path"
    if name[0] in " ~-" or name[-1] in " .":
        return "begins with a blank, '~' or '-', or ends with a blank or '.'"
    if (size := len(name.encode())) > LONGEST:
        return f"has {size} bytes, of {LONGEST} at most"
    if name.partition(".")[0].rstrip().lower() in _DEVICES:
        return "is the name of a device on Windows"
    return ""


def folded(name: str) -> str:
    """What two names share exactly where some file system takes them for one: their case and composition left out."""
    decomposed = unicodedata.normalize("NFD", name)
    return unicodedata.normalize("NFD", decomposed.casefold())
