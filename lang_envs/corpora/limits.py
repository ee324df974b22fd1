"""The limits on the memory that one file may need, and the environment variables that raise them."""

from __future__ import annotations

import os

RECORD_VARIABLE, LARGEST_RECORD = "LANG_ENVS_MAX_RECORD_MIB", 64
"""Largest text in memory at once, in MiB: a line, a record, or a file that is read whole.
As Python objects it takes up to thirty times as much."""
EXPANSION_VARIABLE, LARGEST_EXPANSION = "LANG_ENVS_MAX_EXPANSION", 200
"""Largest ratio of a text to its compressed file. Texts shrink 3- to 50-fold, decompression bombs 1000-fold or more."""
DEEPEST = 200
"""Most nested lists and objects in one record, because code that walks through it is recursive."""


class TooLarge(OSError):
    """A file holds more than the limits allow; the message names the variable that raises them."""


def largest_record() -> int:
    """The largest number of characters of one record."""
    return int(_limit(RECORD_VARIABLE, LARGEST_RECORD) * 2**20)


def largest_expansion() -> float:
    """The largest ratio of a text to its compressed file."""
    return _limit(EXPANSION_VARIABLE, LARGEST_EXPANSION)


def record_too_large() -> TooLarge:
    """The error for a record beyond :func:`largest_record`."""
    return TooLarge(
        f"expected at most {largest_record() / 2**20:g} MiB of text in one record, got more; "
        f"where that is as it should be, set {RECORD_VARIABLE} to a larger number"
    )


def expands_too_far() -> TooLarge:
    """The error for a file beyond :func:`largest_expansion`."""
    return TooLarge(
        f"unpacked it is more than {largest_expansion():g} times as large, as a decompression bomb is; "
        f"where that is as it should be, set {EXPANSION_VARIABLE} to a larger number"
    )


def _limit(variable: str, usual: float) -> float:
    text = os.environ.get(variable, "")
    try:
        value = float(text or usual)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e9:
        raise ValueError(f"{variable} must be a number above 0 and below 1e9, got {text!r}")
    return value
