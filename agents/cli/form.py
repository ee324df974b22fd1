"""Reads the command line of every command into a dataclass with tyro, and writes its help."""

from __future__ import annotations

import dataclasses
import re
import shutil
import textwrap
import types
from collections.abc import Callable, Container, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

import tyro
from tyro.conf import FlagCreatePairsOff, arg
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from agents.cli.arguments import field_docs
from lang_envs.terminal import Terminal

T = TypeVar("T")
_LITERAL = re.compile(r"``([^`]+)``")
WIDEST = 100  # largest width of the text above the options, in columns
KINDS: dict[Any, tuple[str, str, Callable[[str], Any]]] = {
    int: ("INT", "a whole number", int),
    float: ("FLOAT", "a number", float),
    str: ("TEXT", "text", str),
    Path: ("PATH", "a path", Path),
}
"""type -> its placeholder in help, its name in errors, and the function that reads it"""


def read(form: type[T], arguments: Sequence[str], prog: str, description: str) -> T:
    """The dataclass ``form`` with the values of a command line.

    Args:
        form: the dataclass of the options; the string under each field is its help.
        arguments: the arguments of the command line.
        prog: the name of the command in the help.
        description: the text above the options; an "Examples:" paragraph stays as it is.

    Raises:
        SystemExit: after help or an error was printed.
    """
    asked: Any = _annotated(form)
    if "-h" in arguments or "--help" in arguments:  # tyro would join the lines, and the terminal would cut words
        Terminal().print(f"{filled(description)}\n", markup=False, soft_wrap=True)
    return tyro.cli(asked, args=arguments, prog=prog, description=" ", registry=_registry())


def filled(description: str) -> str:
    """Wraps the paragraphs at the width of the terminal, between words; examples stay as they are, one in a line."""
    width = min(WIDEST, shutil.get_terminal_size().columns)
    told, *examples = description.strip().split("\n\nExamples:\n")
    paragraphs = [textwrap.fill(" ".join(part.split()), width, break_long_words=False) for part in told.split("\n\n")]
    return "\n\n".join([*paragraphs, *(f"Examples:\n{part}" for part in examples)])


def _annotated(form: type) -> type:
    """The same dataclass with help for each field: one paragraph, and the default if it is informative."""
    hints = get_type_hints(form, localns={"Agent": object}, include_extras=True)
    docs = field_docs(form)
    fields: list[Any] = []
    for f in dataclasses.fields(form):
        told = _LITERAL.sub(lambda found: _option(found[1], hints), " ".join(docs.get(f.name, "").split()))
        more: list[Any] = [arg(help=told or None, help_behavior_hint=_hint(f, told))]
        if f.default is False:
            more.append(FlagCreatePairsOff)
        described: Any = Annotated
        again = dataclasses.field(default=f.default, default_factory=f.default_factory, kw_only=f.kw_only)
        fields.append((f.name, described[(hints[f.name], *more)], again))
    return dataclasses.make_dataclass(form.__name__, fields, bases=(form,))


def _hint(f: dataclasses.Field[Any], told: str) -> Callable[[str], str]:
    """The text about the default: "(required)" without one, empty if the help itself describes it."""
    if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING:
        return lambda default: "(required)"
    unsaid = f.default in ("", ()) or f.default is False or (f.default is None and "None" not in told)
    return lambda default: "" if unsaid else f"(default: {default})"


def _option(name: str, known: Container[str]) -> str:
    """A name in the text of the help: of a field as its option on the command line, of anything else in backticks."""
    return f"--{name.replace('_', '-')}" if name in known else f"`{name}`"


def _registry() -> ConstructorRegistry:
    registry = ConstructorRegistry()
    registry.primitive_rule(_one)
    return registry


def _one(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
    """How to read a number, text or path. "None" is read as None if the type allows it; help does not mention that."""
    parts = get_args(info.type) if get_origin(info.type) in (Union, types.UnionType) else (info.type,)
    plain = [part for part in parts if part is not type(None)]
    if len(plain) != 1 or plain[0] not in KINDS:
        return None
    metavar, called, make = KINDS[plain[0]]

    def instance(given: list[str]) -> Any:
        if given[0] == "None" and len(parts) > 1:
            return None
        try:
            return make(given[0])
        except ValueError:
            raise ValueError(f"{called} was expected, not {given[0]!r}") from None

    def fits(value: Any) -> bool:
        return isinstance(value, parts) and (plain[0] is str or not isinstance(value, str))

    return PrimitiveConstructorSpec(1, metavar, instance, fits, lambda value: [str(value)])
