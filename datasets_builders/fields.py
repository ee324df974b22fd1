"""Checks the fields of dataclasses that come from files and programs against the types that the fields state."""

from __future__ import annotations

import dataclasses
import numbers
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")
_ONLY_TYPED = {"Agent": object}  # names that annotations use, but modules import only for type checkers


def typed(kind: type[T], values: dict[str, Any], where: object) -> T:
    """The dataclass ``kind`` with the fields ``values``, as JSON has them.

    Raises:
        ValueError: a field is missing, unknown or of another type than it states; the message names ``where``.
    """
    fields = {field.name: field for field in dataclasses.fields(kind) if field.init}  # type: ignore[arg-type]
    if unknown := sorted(values.keys() - fields.keys()):
        raise ValueError(f"{where}: {kind.__name__} has no field {unknown[0]!r}; it has {', '.join(fields)}.")
    unset = dataclasses.MISSING
    needed = (name for name, f in fields.items() if f.default is unset and f.default_factory is unset)
    if missing := next((name for name in needed if name not in values), None):
        raise ValueError(f"{where}: the field {missing!r} is missing.")
    try:
        _check(kind, values)
        return kind(**values)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{where}: {error}") from error


def check_types(settings: Any) -> None:
    """Compares the fields of a dataclass with the types they state; an integer passes for a float.

    Raises:
        ValueError: a field is of another type; the message names the first such field.
    """
    _check(type(settings), {field.name: getattr(settings, field.name) for field in dataclasses.fields(settings)})


def _check(kind: type, values: dict[str, Any]) -> None:
    hints = get_type_hints(kind, localns=_ONLY_TYPED)
    for field in dataclasses.fields(kind):
        if field.name in values and not fits(value := values[field.name], hints[field.name]):
            expected = _words(hints[field.name]) or f"of the type {field.type}"
            raise ValueError(f"{field.name} must be {expected}, not {repr(value)[:200]}.")


def _words(hint: Any) -> str:
    return " or ".join(map(repr, get_args(hint))) if get_origin(hint) is Literal else ""


def fits(value: Any, hint: Any) -> bool:
    """Whether a value is of a type; a list passes for a tuple, because JSON has no tuples."""
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Any:
        return True
    if hint is float:
        return isinstance(value, numbers.Real) and not isinstance(value, bool) and _is_number(value)
    if hint is int:
        return isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if origin in (Union, types.UnionType):
        return any(fits(value, one) for one in inner)
    if origin is Literal:
        return any(value == one and type(value) is type(one) for one in inner)
    if origin is Callable:
        return callable(value)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return isinstance(value, Mapping) and all(fits(k, inner[0]) and fits(v, inner[1]) for k, v in value.items())
    if origin is tuple and inner[-1] is not Ellipsis:
        return isinstance(value, tuple | list) and len(value) == len(inner) and all(map(fits, value, inner))
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return isinstance(value, tuple | list) and all(fits(one, inner[0]) for one in value)
    return isinstance(value, hint)


def _is_number(value: Any) -> bool:
    """Whether a float can hold the value; an integer of JSON can be too large."""
    try:
        return isinstance(float(value), float)
    except OverflowError:
        return False
