"""Finds code outside of this package: what installed packages offer, and the modules that the user named.

A package offers tasks, agents, recipes, policies and suites by entry points in the groups ``lang_envs.tasks`` and so
on. An entry point has a name and a place "module:Name". The module is imported when somebody asks for that name.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Any, TypeVar

from lang_envs.misspelt import unknown

T = TypeVar("T")
KINDS = ("tasks", "agents", "recipes", "policies", "suites")
_named: dict[str, None] = {}


@cache
def offered(kind: str) -> dict[str, EntryPoint]:
    """The entry points of installed packages for a kind (one of ``KINDS``), by name; nothing is imported."""
    return {entry.name: entry for entry in entry_points(group=f"lang_envs.{kind}")}


def find(kind: str, name: str, known: Mapping[str, T], what: str, fits: Callable[[Any], bool]) -> T:
    """The object called ``name``: one that is known, or offered by an installed package, or at "module:Name".

    The module is imported. A name from a file must pass :func:`asked` first.

    Args:
        kind: one of ``KINDS``.
        name: the name of the object.
        known: the objects of this package, by name.
        what: the kind in words, for errors.
        fits: whether an object is of that kind.

    Raises:
        ValueError: there is no such object, or it is of another kind.
    """
    if name in known:
        return known[name]
    at = offered(kind)[name].value if name in offered(kind) else name
    module, colon, attribute = at.partition(":")
    if not colon:
        raise ValueError(unknown(what, name, [*known, *offered(kind)]))
    found: Any = getattr(import_named(module), attribute, None)
    if not fits(found):
        raise ValueError(f"{at!r} is no {what}, but {repr(found)[:80]}.")
    return found


def import_named(module: str) -> ModuleType:
    """Imports a module that the user named, so that files too may name what it registers.

    The module is looked up where Python finds modules, and then in the current folder, which is added to Python's path.

    Raises:
        ValueError: there is no such module, or it cannot be imported.
    """
    before = list(sys.path)
    if module not in sys.modules and not _is_found(module):
        sys.path.append(os.getcwd())  # at the end, so that it hides no installed module
    try:
        found = imported(module)
    except ValueError:
        sys.path[:] = before
        raise
    _named[module] = None
    return found


def imported(module: str) -> ModuleType:
    """The module of that name.

    Raises:
        ValueError: there is no such module, or it cannot be imported.
    """
    try:
        return importlib.import_module(module)
    except (ImportError, ValueError, TypeError) as error:
        raise ValueError(f"the module {module!r} cannot be imported: {error}") from error


def _is_found(module: str) -> bool:
    try:
        return importlib.util.find_spec(module.partition(".")[0]) is not None
    except ValueError:  # not the name of a module
        return True


def named() -> tuple[str, ...]:
    """The modules that the user named so far; worker processes import them too."""
    return tuple(module for module in _named if module in sys.modules)


def asked(at: str, where: object) -> str:
    """Checks code at "module:Name" that a file names, so that a file never imports code that nobody asked for.

    It passes if the module is imported already, or if an installed package offers exactly this place.

    Args:
        at: the name in the file; a plain name passes.
        where: the name of the file, for errors.

    Returns:
        ``at``.

    Raises:
        ValueError: nobody asked for the module; the message names it and says how to ask.
    """
    module, colon, _ = at.partition(":")
    if colon and module not in sys.modules and not any(at == e.value for kind in KINDS for e in offered(kind).values()):
        raise ValueError(
            f"{where} names {at!r}, code of the module {module!r}, which is not imported because a file says so. If "
            f"you trust it, pass --import {module} (or import {module} in your program before)."
        )
    return at
