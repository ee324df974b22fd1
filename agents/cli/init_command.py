"""``lang-envs init``: writes a small package for a task, an agent or a suite of one's own."""

from __future__ import annotations

import keyword
import re
from dataclasses import dataclass
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

from rich.markup import escape
from tyro.conf import Positional, arg

from agents.cli.next_steps import show_next
from agents.cli.show import console

_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_TRIED = ("pip install -e {name}", "pytest {name}")
_NEXT = {
    "task": ("lang-envs check {Name}-v0", "lang-envs record {na-me} --out data/{name}"),
    "agent": (
        "lang-envs record movie-review --episodes 2000 --out data/movie-review",
        "lang-envs train {name} --data data/movie-review --out runs/{name}",
    ),
    "suite": ("lang-envs bench {na-me} --smoke --out runs/try",),
}


@dataclass
class Init:
    """Writes a package with a new task, agent or suite.

    The package can be installed and passes its own test.

    Examples:
        lang-envs init task haggle
        lang-envs init agent my_ilql
        lang-envs init suite haggling
    """

    kind: Positional[Literal["task", "agent", "suite"]]
    """kind of the package"""
    name: Annotated[Positional[str], arg(metavar="NAME")]
    """name of its module and folder: small letters, digits and _"""

    def __call__(self) -> None:
        """Prints what to do next."""
        out = Path(self.name)
        write(self.kind, self.name, out)
        console().print(escape(f"Written: {out}/, with a test of its own."), soft_wrap=True)
        steps = [_renamed(line, self.name).split() for line in (*_TRIED, *_NEXT[self.kind])]
        show_next(console(), *steps)


def write(kind: str, name: str, out: Path) -> None:
    """Writes the package.

    Args:
        kind: "task", "agent" or "suite".
        name: name of its module.
        out: the folder to make.

    Raises:
        ValueError: the name cannot be that of a module, or there is a module of that name.
        FileExistsError: ``out`` exists.
    """
    if not _NAME.fullmatch(name) or keyword.iskeyword(name):
        raise ValueError(f"{name!r} cannot be the name of a module: use small letters, digits and _, as in my_{kind}.")
    if out.exists():
        raise FileExistsError(f"{out} exists; choose another name, or move it away.")
    if find_spec(name) is not None:
        raise ValueError(f"there is a module {name!r} already; choose another name.")
    out.mkdir()
    for template in files("agents.cli").joinpath("templates", kind).iterdir():
        if template.name.endswith((".py", ".toml")):
            text = _filled(template.read_text(encoding="utf-8"), kind, name)
            (out / _filled(template.name, kind, name)).write_text(text, encoding="utf-8")


def _filled(text: str, kind: str, name: str) -> str:
    """A template with ``name`` in the place of ``my_task``, ``MyTask``, ``my-task`` and ``MY_TASK``, spelled alike."""
    for written, meant in zip(_spellings(f"my_{kind}"), _spellings(name), strict=True):
        text = text.replace(written, meant)
    return text


def _renamed(text: str, name: str) -> str:
    for written, meant in zip(("{name}", "{Name}", "{na-me}"), _spellings(name), strict=False):
        text = text.replace(written, meant)
    return text


def _spellings(name: str) -> tuple[str, str, str, str]:
    words = name.split("_")
    return name, "".join(word.capitalize() for word in words), "-".join(words), name.upper()
