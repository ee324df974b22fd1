"""Reads parts of a command line: NAME=VALUE pairs, modules to import, decodings; joins dataclasses of options."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import json
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

from tyro.conf import arg

from lang_envs import plugins
from lang_envs.printable import printable

if TYPE_CHECKING:
    from agents.agent import Agent

Options = tuple[str, ...]
"""NAME=VALUE pairs"""
SetOptions = Annotated[Options, arg(name="set", metavar="NAME=VALUE ...")]
"""the same, given as ``--set``"""


def import_named(given: Sequence[str]) -> list[str]:
    """Imports the modules that a command line names: ``--import MODULE``, ``--env MODULE:ID``, ``env_id=MODULE:ID``.

    Only these make the code of others known. A data set, a run or a suite that names such code does not import it.

    Returns:
        The arguments without ``--import``.

    Raises:
        ValueError: a module cannot be imported, or none is named.
    """
    left: list[str] = []
    parts = iter(given)
    for part in parts:
        option, equals, value = part.partition("=")
        if option == "env_id":  # of a recipe, behind --set
            import_before_id(value)
        if option not in ("--import", "--env"):
            left.append(part)
            continue
        value = value if equals else next(parts, "")
        if option == "--env":
            import_before_id(value)
            left += [option, value]
        elif value:
            plugins.import_named(value)
        else:
            raise ValueError("--import takes the name of a module, as in --import my_package.tasks.")
    return left


def import_before_id(env_id: str) -> None:
    """Imports the module of an id that the user typed as ``MODULE:ID``; does nothing for a plain id.

    Raises:
        ValueError: it cannot be imported.
    """
    if module := env_id.rpartition(":")[0]:
        plugins.import_named(module)


ENV_OPTIONS, DECODING = "--env-options", "--decoding"
EXAMPLES = {
    "--set": "--set words=english-200",
    ENV_OPTIONS: f"{ENV_OPTIONS} words=english-200",
    DECODING: f"{DECODING} greedy=true",
    "/set": "/set temperature=0.7",
}
"""options that take NAME=VALUE, each with an example"""
_WORDS = {"true": True, "false": False, "none": None}  # capitals do not matter


def pairs(given: Sequence[str], option: str = "--set") -> dict[str, Any]:
    """``("words=english-200", "p=0.5")`` as a dictionary. Values that are JSON are read as such; others are text.

    ``True``, ``False`` and ``None`` are read too, however they are capitalised. A ``-`` in a name becomes ``_``.

    Args:
        given: behind the option.
        option: that errors name.

    Raises:
        ValueError: a pair has no name or no "=", or a name is given twice.
    """
    found: dict[str, Any] = {}
    for pair in given:
        name, equals, text = pair.partition("=")
        name = name.replace("-", "_")
        if not equals or not name:
            raise ValueError(f"{option} takes NAME=VALUE, got {pair[:60]!r}; for instance {EXAMPLES[option]}.")
        if name in found:
            raise ValueError(
                f"{option}: {name} is given twice, as {found[name]!r} and as {text!r}; leave one of them out."
            )
        found[name] = _value(text)
    return found


def pair_of(name: str, value: Any) -> str:
    """``NAME=VALUE``, which :func:`pairs` reads as the same value."""
    plain = isinstance(value, str) and _value(value) == value
    return f"{name}={value if plain else json.dumps(value)}"


def _value(text: str) -> Any:
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # no JSON, or nested too deeply
        return text


def check_printable(arguments: Sequence[str]) -> None:
    """Refuses arguments with control characters: the parser would print them, and the terminal would obey them.

    Raises:
        ValueError: there is such an argument; the error shows the first.
    """
    if odd := next((text for text in arguments if printable(text, keep="\n\t") != text), None):
        raise ValueError(f"an argument holds a control character or half a character: {odd!r}; type it without.")


def check_once(arguments: Sequence[str]) -> None:
    """Refuses an option that is given twice, because the parser would silently drop the first.

    Raises:
        ValueError: there is such an option; the error names it.
    """
    options = [text.partition("=")[0].replace("_", "-") for text in arguments if text.startswith("--") and text != "--"]
    if twice := next((option for option in options if options.count(option) > 1), None):
        raise ValueError(f"{twice} is given twice; give it once, with all its values after it if it takes several.")


def decoding_of(agent: Agent, given: Sequence[str], option: str = "--set") -> dict[str, Any]:
    """The decoding of an agent in every command.

    It is the one in ``given``; else the one chosen after training (``Agent.decoding``); else that of the algorithm
    (``Agent.usual_decoding``).
    """
    return pairs(given, option) or dict(agent.usual_decoding if agent.decoding is None else agent.decoding)


def decoding_from(agent: Agent, given: Sequence[str]) -> str:
    """Where the decoding of ``decoding_of`` comes from, in words."""
    return "as asked" if given else "usual" if agent.decoding is None else "chosen after training"


def decoding_in_words(decoding: dict[str, Any]) -> str:
    """A decoding as it is typed: ``greedy=true advantage_weight=4``."""
    return " ".join(f"{name}={json.dumps(value)}" for name, value in decoding.items()) or "its own"


def at_least_one(episodes: int) -> None:
    """Checks the number of episodes.

    Raises:
        ValueError: it is below 1.
    """
    if episodes < 1:
        raise ValueError(f"--episodes must be at least 1, not {episodes}.")


def joined(*parts: type) -> type:
    """One dataclass with the fields of several and their help; of fields with the same name it has the first.

    Fields that are functions are left out, because they cannot be typed on a command line.
    """
    fields: dict[str, tuple[str, Any, Any]] = {}
    for part in parts:
        hints = get_type_hints(part, localns={"Agent": object}, include_extras=True)
        help_of = field_docs(part)
        for f in dataclasses.fields(part):
            if "Callable" not in str(hints[f.name]):
                default: Any = {"default": f.default, "default_factory": f.default_factory}  # one of them is MISSING
                told = {"help": help_of.get(f.name, "")}
                field = dataclasses.field(**default, kw_only=True, metadata=told)
                fields.setdefault(f.name, (f.name, hints[f.name], field))
    return dataclasses.make_dataclass("Options", fields.values())


def field_docs(part: type) -> dict[str, str]:
    """The string under each field of a dataclass and of its parents; also for classes that :func:`joined` made."""
    docs = {f.name: f.metadata["help"] for f in dataclasses.fields(part) if "help" in f.metadata}
    written = [c for c in part.__mro__ if dataclasses.is_dataclass(c) and c.__module__ != "types"]
    for cls in reversed(written):
        body = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0].body  # type: ignore[attr-defined]  # a class
        for line, below in itertools.pairwise(body):
            if (
                isinstance(line, ast.AnnAssign)
                and isinstance(below, ast.Expr)
                and isinstance(below.value, ast.Constant)
            ):
                docs[line.target.id] = str(below.value.value)  # type: ignore[union-attr]  # a field is a name
    return docs
