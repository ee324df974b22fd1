"""Messages about unknown names, with the nearest known name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

MOST = 40  # most names that a message lists


def hint(name: Any, known: Iterable[str]) -> str:
    """A sentence that suggests the nearest of the ``known`` names, or lists them if none is near."""
    known = list(known)
    low = {each.lower(): each for each in known}
    text = str(name).lower()
    near = difflib.get_close_matches(text, low, n=1) or [each for each in low if text and each.startswith(text)]
    if near:
        return f"did you mean {low[near[0]]!r}?"
    more = f" and {len(known) - MOST} more" if len(known) > MOST else ""
    return f"choose one of {', '.join(known[:MOST])}{more}."


def unknown(kind: str, name: Any, known: Iterable[str]) -> str:
    """A message that there is no such name of that kind, with a hint."""
    return f"There is no {kind} {str(name)[:60]!r}; {hint(name, known)}"
