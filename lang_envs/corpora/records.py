"""Reads the fields of a record and checks their types; and shows values in errors."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from lang_envs.corpora.files import CorpusError
from lang_envs.tokenizers import whole

T = TypeVar("T")

_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = _REPR.maxlong = 60
_REPR.maxlist = _REPR.maxdict = 12
_REPR.maxlevel = 3
_EXACT_INTEGERS = 2**53  # a float cannot hold all larger integers exactly


def brief(value: Any) -> str:
    """A short text of a value, however long or deeply nested the value is."""
    try:
        return _REPR.repr(value)
    except ValueError:  # it holds an integer of more digits than Python prints
        return f"<{type(value).__name__}>"


def shown(value: Any) -> str:
    """The type of a value and its short text."""
    return "nothing" if value is None else f"{type(value).__name__} {brief(value)}"


def field(record: Any, key: str, kind: type[T], where: str) -> T:
    """The field ``key`` of a record.

    Args:
        record: a JSON value, or a row of a table.
        key: the name of the field.
        kind: the type of the field. A bool does not count as ``int``, nor a text as ``Sequence``. A ``float`` may be
            written as an integer, but must be finite.
        where: the file and the record, for errors.

    Raises:
        CorpusError: the record is not an object, has no such field, or has one of another type; or a text holds half a
            character.
    """
    try:
        return typed(record, key, kind)
    except ValueError as error:
        raise CorpusError(f"{where}, {error}") from error


def name_of(record: Any, key: str, where: str) -> str:
    """A field that names the record: a text or an integer.

    Raises:
        CorpusError: as :func:`field`.
    """
    try:
        return label(record, key)
    except ValueError as error:
        raise CorpusError(f"{where}, {error}") from error


def label(record: Any, key: str) -> str:
    """A field that is a text or an integer, as a text.

    Raises:
        ValueError: as :func:`typed`.
    """
    is_number = isinstance(record, Mapping) and isinstance(record.get(key), int)
    return str(typed(record, key, int)) if is_number else typed(record, key, str)


def typed(record: Any, key: str, kind: type[T]) -> T:
    """The field ``key`` of a record, as :func:`field`.

    Raises:
        ValueError: as :func:`field`; the message names only the field.
    """
    if not isinstance(record, Mapping):
        raise ValueError(f"field {key!r}: expected an object that has it, got {shown(record)}")
    if key not in record:
        raise ValueError(f"field {key!r}: missing; the record has {brief(sorted(map(str, record)))}")
    value = record[key]
    if kind is float and isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _EXACT_INTEGERS:
        return kind(value)  # type: ignore[call-arg]  # which is float
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is int):
        raise ValueError(f"field {key!r}: expected {kind.__name__}, got {shown(value)}")
    if kind is Sequence and isinstance(value, str):
        raise ValueError(f"field {key!r}: expected a list, got {shown(value)}")
    if isinstance(value, str) and not whole(value):
        raise ValueError(f"field {key!r}: the text {brief(value)} holds half a character; take it out of the file")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"field {key!r}: expected a finite number, got {value}")
    return value
