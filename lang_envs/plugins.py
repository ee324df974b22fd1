"""Code of others: what installed packages offer, and the modules that a person named.

A package offers tasks, agents, recipes, policies and suites by entry points, in the groups ``lang_envs.tasks`` and so
on: a name, and behind it where the thing is, as "module:Name". It is imported when somebody asks for that name.
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
    """What installed packages offer of a kind (one of ``KINDS``), by name; nothing is imported."""
    return {entry.name: entry for entry in entry_points(group=f"lang_envs.{kind}")}


def find(kind: str, name: str, known: Mapping[str, T], what: str, fits: Callable[[Any], bool]) -> T:
    """What is called ``name``: one that is known, or offered by an installed package, or at "module:Name".

    The module is imported. A name that a file gives goes through :func:`asked` before.

    Args:
        kind: one of ``KINDS``.
        name: what is asked for.
        known: those of this package.
        what: one of that kind is called so in errors.
        fits: whether something is one.

    Raises:
        ValueError: there is none, or what is there is something else.
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
    """Imports a module that a person named, so that what it registers is known, also where files name that.

    It is found where Python finds modules, or else in the current folder, which later imports then look into too.

    Raises:
        ValueError: there is none, or it cannot be imported.
    """
    before = list(sys.path)
    if module not in sys.modules and not _is_found(module):
        sys.path.append(os.getcwd())  # the last: it takes the place of nothing that is installed
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
        ValueError: there is none, or it cannot be imported.
    """
    try:
        return importlib.import_module(module)
    except (ImportError, ValueError, TypeError) as error:
        raise ValueError(f"the module {module!r} cannot be imported: {error}") from error


def _is_found(module: str) -> bool:
    try:
        return importlib.util.find_spec(module.partition(".")[0]) is not None
    except ValueError:  # no name of a module
        return True


def named() -> tuple[str, ...]:
    """The modules that were named so far, which other processes at the same work import too."""
    return tuple(module for module in _named if module in sys.modules)


def asked(at: str, where: object) -> str:
    """Code at "module:Name" that a file names: a file imports nothing, so somebody must have asked for it.

    That is so where the module is imported already, or where an installed package offers just this.

    Args:
        at: what the file names; a plain name passes.
        where: what names it.

    Returns:
        The same.

    Raises:
        ValueError: nobody asked for it; naming the module and saying how to ask.
    """
    module, colon, _ = at.partition(":")
    if colon and module not in sys.modules and not any(at == e.value for kind in KINDS for e in offered(kind).values()):
        raise ValueError(
            f"{where} names {at!r}, code of the module {module!r}, which is not imported because a file says so. If "
            f"you trust it, pass --import {module} (or import {module} in your program before)."
        )
    return at
