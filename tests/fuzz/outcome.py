"""The possible outcomes of a damaged input, and the errors that count as refusals in words."""

from __future__ import annotations

import contextlib
import dis
import re
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

OUTCOMES = {
    "right": "right",
    "refused": "refused in words",
    "skipped": "counted skip",
    "accepted": "accepted edit",
    "traceback": "tracebacks",
    "hang": "hangs",
    "crash": "crashes",
    "different": "silently different",
}
"""what may become of an input, and the heading of its column"""
BAD = ("traceback", "hang", "crash", "different")
PROJECT = Path(__file__).resolve().parents[2]
_WORDS = (ValueError, TypeError, OSError, ImportError)
INTERPRETERS_WORDS = re.compile(
    r"object is not (iterable|subscriptable|callable)|object has no attribute|not supported between instances"
    r"|indices must be|unhashable type|index out of range|object cannot be interpreted|'NoneType' object"
)


class Outcome(NamedTuple):
    """What became of one input."""

    kind: str
    """one of ``OUTCOMES``"""
    why: str = ""
    place: str = ""
    """of an error: its type, and where in the project it came from"""


class Refused(Exception):
    """What was opened refuses to be used, in the project's own words, which need not name a file."""


@contextlib.contextmanager
def using() -> Iterator[None]:
    """Around the use of what was opened."""
    try:
        yield
    except _WORDS as error:
        if of_error(error, None).kind == "refused":
            raise Refused(str(error)) from error
        raise


def same(found: Any, wanted: Any, otherwise: str, why: str = "") -> Outcome:
    """Right where both are equal, else ``otherwise``."""
    return Outcome("right") if found == wanted else Outcome(otherwise, why)


def of_error(error: BaseException, folder: str | None) -> Outcome:
    """Refused, where it is in words that name ``folder`` (None: that the project itself chose); else a traceback."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if _is_ours(frame.filename)]
    place = f"{Path(ours[-1].filename).relative_to(PROJECT)}:{ours[-1].lineno}" if ours else "outside"
    place = f"{type(error).__name__} {place}"
    message = str(error)
    if isinstance(error, Refused):
        return Outcome("refused", message, place)
    if not isinstance(error, _WORDS) or isinstance(error, UnicodeError):
        return Outcome("traceback", message, place)
    if folder is None and (not _on_purpose(error) or INTERPRETERS_WORDS.search(message)):
        return Outcome("traceback", f"not the project's own words: {message}", place)
    if folder is not None and folder not in message:
        return Outcome("traceback", f"names no file: {message}", place)
    return Outcome("refused", message, place)


def _is_ours(file: str) -> bool:
    return any(file.startswith(f"{PROJECT}/{package}/") for package in ("lang_envs", "datasets_builders", "agents"))


def _on_purpose(error: BaseException) -> bool:
    """Whether it comes from a ``raise`` in the project, not out of an operation that failed.

    Gymnasium raises what a creator of environments raised once more, with its own words behind.
    """
    if error.__cause__ is not None and str(error).startswith(f"{error.__cause__} was raised from the environment"):
        error = error.__cause__
    step = error.__traceback__
    passed_ours = False
    while step is not None and step.tb_next is not None:
        passed_ours |= _is_ours(step.tb_frame.f_code.co_filename)
        step = step.tb_next
    if step is None:
        return False
    file = step.tb_frame.f_code.co_filename
    if not _is_ours(file) and (passed_ours or "/gymnasium/" not in file):  # who refuses what is its own to refuse
        return False
    return dis.opname[step.tb_frame.f_code.co_code[step.tb_lasti]] in ("RAISE_VARARGS", "RERAISE")
