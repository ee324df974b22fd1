"""What to say to a name that nobody knows."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

MOST = 40  # names that are listed


def hint(name: Any, known: Iterable[str]) -> str:
    """The nearest of the ``known`` names, or what there is."""
    known = list(known)
    low = {each.lower(): each for each in known}
    text = str(name).lower()
    near = difflib.get_close_matches(text, low, n=1) or [each for each in low if text and each.startswith(text)]
    if near:
        return f"did you mean {low[near[0]]!r}?"
    more = f" and {len(known) - MOST} more" if len(known) > MOST else ""
    return f"choose one of {', '.join(known[:MOST])}{more}."


def unknown(kind: str, name: Any, known: Iterable[str]) -> str:
    """There is none of that kind with that name, and what there is."""
    return f"There is no {kind} {str(name)[:60]!r}; {hint(name, known)}"
