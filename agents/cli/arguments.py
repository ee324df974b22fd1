"""Reading a command line: NAME=VALUE pairs, several dataclasses side by side, and names that nobody knows."""

from __future__ import annotations

import ast
import dataclasses
import difflib
import inspect
import itertools
import json
import textwrap
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

from tyro.conf import arg

if TYPE_CHECKING:
    from agents.agent import Agent

Options = tuple[str, ...]
"""NAME=VALUE pairs"""
SetOptions = Annotated[Options, arg(name="set", metavar="NAME=VALUE ...")]
"""the same, given as ``--set``"""


_WORDS = {"true": True, "false": False, "none": None}  # however they are capitalised


def pairs(given: Sequence[str]) -> dict[str, Any]:
    """``("words=english-200", "p=0.5")`` as a dictionary; values that are JSON or Python's are read, others are text.

    Raises:
        ValueError: a pair has no "=".
    """
    found = {}
    for pair in given:
        name, equals, text = pair.partition("=")
        if not equals:
            raise ValueError(f"--set takes NAME=VALUE, got {pair!r}; for instance --set words=english-200.")
        try:
            value = _WORDS[text.lower()] if text.lower() in _WORDS else json.loads(text)
        except json.JSONDecodeError:
            value = text
        found[name.replace("-", "_")] = value
    return found


def decoding_of(agent: Agent, given: Sequence[str]) -> dict[str, Any]:
    """How an agent speaks in every command: as asked, or by default as it is meant to (``Agent.usual_decoding``)."""
    return pairs(given) or dict(agent.usual_decoding)


def decoding_in_words(decoding: dict[str, Any]) -> str:
    """``greedy=true advantage_weight=4``, as it is asked for."""
    return " ".join(f"{name}={json.dumps(value)}" for name, value in decoding.items()) or "its own"


def at_least_one(episodes: int) -> None:
    """Refuses to play no episodes.

    Raises:
        ValueError: saying so.
    """
    if episodes < 1:
        raise ValueError(f"--episodes must be at least 1, not {episodes}.")


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """What to say to a name that is not among ``known``."""
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(known)}."
    return f"There is no {kind} {name!r}; {hint}"


def joined(*parts: type) -> type:
    """One dataclass with the fields of several and their help; of fields with the same name the first counts.

    Fields that are functions are left out: they cannot be typed at a command line.
    """
    fields: dict[str, tuple[str, Any, Any]] = {}
    for part in parts:
        hints = get_type_hints(part, localns={"Agent": object})
        help_of = _field_docs(part)
        for f in dataclasses.fields(part):
            if "Callable" not in str(hints[f.name]):
                default: Any = {"default": f.default, "default_factory": f.default_factory}  # one of them is MISSING
                described: Any = Annotated
                described = described[hints[f.name], arg(help=help_of.get(f.name, ""))]
                fields.setdefault(f.name, (f.name, described, dataclasses.field(**default, kw_only=True)))
    return dataclasses.make_dataclass("Options", fields.values())


def _field_docs(part: type) -> dict[str, str]:
    """The string under each field of a dataclass and of its parents."""
    docs = {}
    for cls in reversed([c for c in part.__mro__ if dataclasses.is_dataclass(c)]):
        body = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0].body  # type: ignore[attr-defined]  # a class
        for line, below in itertools.pairwise(body):
            if (
                isinstance(line, ast.AnnAssign)
                and isinstance(below, ast.Expr)
                and isinstance(below.value, ast.Constant)
            ):
                docs[line.target.id] = str(below.value.value)  # type: ignore[union-attr]  # a field is a name
    return docs
