"""Decides which names from data may become the name of a file or folder.

The label or name of an experiment or corpus is a text from a file. As one part of a path it must stay in its folder, on
every system, and it must not name a device.
"""

from __future__ import annotations

import unicodedata
from typing import Any

LONGEST = 200
"""most bytes of a name; file systems allow 255, and endings are added"""
_SEPARATORS = "/\\:"  # of all systems; a colon ends the name of a drive on Windows
_DEVICES = {"con", "prn", "aux", "nul", "conin$", "conout$"} | {
    f"{port}{digit}" for port in ("com", "lpt") for digit in "0123456789¹²³"
}


def component(name: Any, what: str = "the name") -> str:
    """Returns ``name`` if it can be one part of a path.

    Args:
        name: the name for a file or folder.
        what: what is named, for the error.

    Raises:
        ValueError: the name cannot be part of a path; the message says why.
    """
    if fault := _fault(name):
        shown = repr(name)
        shown = shown if len(shown) <= 80 else f"{shown[:80]}..."
        raise ValueError(
            f"{what}: {shown} becomes the name of a file, and {fault}. Use letters, digits, blanks and '-'."
        )
    return name


def _fault(name: Any) -> str:
    """Why a name cannot be part of a path; empty if it can."""
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
    """A name without case and Unicode composition; equal for names that some file system takes for the same file."""
    decomposed = unicodedata.normalize("NFD", name)
    return unicodedata.normalize("NFD", decomposed.casefold())
