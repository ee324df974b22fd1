"""Checks the arguments that a caller passes: seeds, options, modes and numbers."""

from __future__ import annotations

import os
import types
from collections.abc import Sequence
from numbers import Real
from typing import Any, Literal, Union, get_args, get_origin

import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import ArrayLike, NDArray

from lang_envs.tokenizers import whole

_SHOWN = 80  # characters of a value in a message


def shown(value: Any) -> str:
    """A short text of a value for a message; it works for any value."""
    try:
        text = repr(value)
    except ValueError:  # Python does not print integers of more than some thousand digits
        text = f"an integer of {value.bit_length()} bits" if isinstance(value, int) else type(value).__name__
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}... ({type(value).__name__})"


class UnknownModeError(ValueError, TypeError):
    """An unknown render mode; also a TypeError, after which stable-baselines3 makes the environment without a mode."""


def render_mode_of(value: Any) -> str | None:
    """The render mode of one environment: "ansi", "human" or None.

    Raises:
        UnknownModeError: it is another value.
    """
    if value is not None and (not isinstance(value, str) or value not in ("ansi", "human")):
        raise UnknownModeError(f"render_mode must be 'ansi', 'human' or None, got {shown(value)}")
    return value


def autoreset_mode_of(value: Any) -> AutoresetMode:
    """Gymnasium's autoreset mode of a vector environment, or its name.

    Raises:
        TypeError: the value is neither a mode nor a text.
        ValueError: there is no mode of that name.
    """
    try:
        return AutoresetMode(typed(value, AutoresetMode | str, "autoreset_mode"))
    except ValueError:
        known = ", ".join(repr(each.value) for each in AutoresetMode)
        raise ValueError(f"autoreset_mode is one of {known}, got {shown(value)}") from None


def masked_rows(mask: Any, count: int) -> NDArray[np.int64]:
    """The rows [n] where ``options["reset_mask"]`` is true; the mask must be bool [count].

    Raises:
        TypeError: the mask is not an array of bool.
        ValueError: the mask has another shape, or no true entry.
    """
    if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_:
        raise TypeError(f"options['reset_mask'] must be a numpy array of bool, got {shown(mask)}")
    if mask.shape != (count,) or not mask.any():
        raise ValueError(f"options['reset_mask'] must have shape ({count},) and a True in it, got {shown(mask)}")
    return np.flatnonzero(mask)


def distinct_rows(rows: ArrayLike) -> NDArray[np.int64]:
    """The row numbers as an array, after checking that no row occurs twice.

    Raises:
        ValueError: a row occurs twice.
    """
    found = np.asarray(rows, np.int64)
    if len(set(found.tolist())) != found.size:
        raise ValueError(f"each row can be named once, got {found}")
    return found


def no_step(begun: bool) -> ValueError:
    """The error for a step without a running episode: the episode is over (``begun``), or none was begun."""
    if begun:
        return ValueError("the episode is over: call reset() before the next step()")
    return ValueError("there is no episode yet: call reset() before step()")


def whole_number(value: Any, name: str, least: int | None = None, most: int | None = None) -> int:
    """``value`` as an int. A bool, a float or an array is not accepted.

    Raises:
        TypeError: ``value`` is not an integer.
        ValueError: ``value`` is below ``least`` or above ``most``.
    """
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} must be an integer, got {shown(value)}")
    if least is not None and value < least:
        raise ValueError(f"{name} must be at least {least}, got {shown(value)}")
    if most is not None and value > most:
        raise ValueError(f"{name} must be at most {most}, got {shown(value)}")
    return int(value)


def seed_of(value: Any) -> int | None:
    """A seed as gymnasium takes it: an int >= 0, or None.

    Raises:
        ValueError: it is neither.
    """
    if value is None or (type(value) is int and value >= 0):
        return value
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)) or value < 0:
        raise ValueError(f"a seed must be an integer >= 0, got {shown(value)}")
    return int(value)


def options_of(value: Any) -> dict[str, Any]:
    """The ``options`` of a reset; None means no options.

    Raises:
        TypeError: they are not a dictionary.
    """
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise TypeError(f"the options of a reset are a dictionary or None, got {shown(value)}")
    return value


def seeds_of(value: Any, count: int) -> list[int | None]:
    """The seed of each of ``count`` environments: ``value + i`` for environment i, or entry i of a list.

    Raises:
        TypeError, ValueError: ``value`` is neither a seed nor a list of ``count`` seeds.
    """
    if value is None:
        return [None] * count
    if isinstance(value, (int, np.integer)):
        first = seed_of(value) or 0
        return list(range(first, first + count))
    return [seed_of(own) for own in one_for_each(value, count, "seed")]


def contexts_of(value: Any, count: int) -> list[Any]:
    """The starting point of each of ``count`` environments: one for all, or a list with one for each; empty for None.

    Raises:
        TypeError, ValueError: ``value`` is neither a starting point nor a list of ``count`` of them.
    """
    if value is None:
        return []
    return [value] * count if isinstance(value, (int, np.integer)) else one_for_each(value, count, "context")


def one_for_each(value: Any, count: int, name: str) -> list[Any]:
    """``value`` as a list with an entry for each of ``count`` environments.

    Raises:
        TypeError: ``value`` is not a list, a tuple or an array of one dimension.
        ValueError: ``value`` has another length.
    """
    if isinstance(value, np.ndarray) and value.ndim == 1:
        value = list(value)
    if isinstance(value, str | bytes) or not isinstance(value, Sequence):
        raise TypeError(f"expected an integer, or a list with one {name} for each environment, got {shown(value)}")
    if len(value) != count:
        raise ValueError(f"expected one {name} for each of {count} environments, got {len(value)}")
    return list(value)


def token_id(action: Any) -> int:
    """One action as an int.

    Raises:
        TypeError: the action is not an integer.
    """
    if type(action) is int:
        return action
    if isinstance(action, np.ndarray) and action.ndim == 0 and action.dtype.kind in "iu":
        action = action[()]
    try:
        return whole_number(action, "an action")
    except TypeError:
        raise TypeError(f"an action must be one token id (an integer), got {shown(action)}") from None


def token_ids(actions: Any, count: int) -> np.ndarray:
    """The actions of ``count`` environments as an array [count].

    Raises:
        TypeError: the actions are not integers.
        ValueError: there is another number of actions.
    """
    if not isinstance(actions, np.ndarray):
        if isinstance(actions, Sequence) and any(isinstance(action, (bool, np.bool_)) for action in actions):
            raise TypeError(f"step: tokens are integers, got bool in {shown(actions)}")
        try:
            actions = np.asarray(actions)
        except (ValueError, TypeError, OverflowError) as error:
            raise TypeError(f"step: expected one token for each of {count} environments ({error})") from None
    if actions.shape != (count,):
        raise ValueError(f"expected one token for each of {count} environments, got shape {actions.shape}")
    return actions


_PLAIN = (bool, int, float, complex, str, bytes, list, tuple, dict, set, types.NoneType)


def typed(value: Any, hint: Any, name: str) -> Any:
    """Checks that ``value`` is of the type ``hint`` and returns it; numpy's integers become Python's.

    If ``hint`` is a class that is not a number, a text, a path or a list of these, only plain values are refused.

    Raises:
        TypeError: ``value`` is of another type.
        ValueError: ``value`` is NaN, too large, or a text with a lone surrogate (half a character).
    """
    kinds = _parts(hint)
    if not any(_fits(value, kind) for kind in kinds):
        expected = " or ".join(dict.fromkeys(_words(kind) for kind in kinds))
        raise TypeError(f"{name} must be {expected}, got {shown(value)}")
    if isinstance(value, float | np.floating) and np.isnan(value):
        raise ValueError(f"{name} must be a number, got {value}")
    if isinstance(value, str) and not whole(value):
        raise ValueError(f"{name} must be a text, got {shown(value)}, which holds half a character")
    if isinstance(value, int | np.integer) and not -(2**63) <= value < 2**63:
        raise ValueError(f"{name} must be a number of at most 64 bits, got {shown(value)}")
    return int(value) if isinstance(value, np.integer) else value


def _fits(value: Any, kind: Any) -> bool:
    origin = get_origin(kind) or kind
    if origin in (bool, int, float):
        is_bool = isinstance(value, (bool, np.bool_))
        numbers = {bool: (bool, np.bool_), int: (int, np.integer), float: (Real,)}[origin]
        return isinstance(value, numbers) and is_bool == (origin is bool)
    if origin is Literal:
        return isinstance(value, tuple({type(choice) for choice in get_args(kind)}))
    if origin is Sequence:
        kinds = _parts(*get_args(kind))
        return isinstance(value, list | tuple) and all(any(_fits(item, kind) for kind in kinds) for item in value)
    if origin in (str, types.NoneType, os.PathLike):
        return isinstance(value, origin)
    return type(value) not in _PLAIN and not isinstance(value, (np.generic, np.ndarray))


def _parts(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def _words(kind: Any) -> str:
    origin = get_origin(kind) or kind
    if origin is Literal:
        return f"one of {list(get_args(kind))}"
    words = {bool: "True or False", int: "an integer", float: "a number", str: "a text", types.NoneType: "None"}
    return words.get(origin) or {os.PathLike: "a path", Sequence: "a list of them"}.get(origin, f"a {origin.__name__}")
