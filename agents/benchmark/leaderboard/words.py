"""The texts that a person writes for a leaderboard: tables of experiments, their names, and how to read the figures."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from agents.benchmark.leaderboard.results import Column, Results
from datasets_builders.fields import typed
from lang_envs.misspelt import unknown

FILE = "leaderboard.toml"


@dataclass(frozen=True)
class Group:
    """Experiments that share a table."""

    title: str
    experiments: Sequence[str]
    """as ``folder/experiment``, in the order of the columns"""
    about: str = ""
    """Markdown below the title"""


@dataclass(frozen=True)
class Words:
    """The fields of ``leaderboard.toml``; without them, each folder has its own table."""

    title: str = "Leaderboard"
    introduction: str = ""
    """Markdown below the title"""
    reading: str = ""
    """Markdown after the tables"""
    tables: tuple[Group, ...] = ()
    called: Mapping[str, str] = field(default_factory=dict)
    """``folder/experiment`` -> the head of its column; by default the experiment's name"""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """``folder/experiment`` -> why it is in no table"""
    questions: Mapping[str, str] = field(default_factory=dict)
    """name of a folder -> the question of its results; by default the title of its ``table.md``"""

    @classmethod
    def read(cls, path: Path) -> Words:
        """The words in a file.

        Raises:
            ValueError: it holds something else.
        """
        plain = _toml(path.read_bytes(), path)
        if not isinstance(given := plain.get("tables", []), list):
            raise ValueError(f"{path}: tables are written as [[tables]], not {repr(given)[:80]}.")
        return typed(cls, {**plain, "tables": tuple(_group(one, path) for one in given)}, path)

    def groups(self, results: Sequence[Results]) -> list[tuple[Group, list[Column]]]:
        """The tables with their columns: first ``tables``, then one for each folder with experiments in none of them.

        Raises:
            ValueError: the texts name an experiment or a folder that these results do not have, or have twice.
        """
        columns = [column for found in results for column in found.columns]
        known = {column.name: column for column in columns}
        named = [name for group in self.tables for name in group.experiments]
        _check([*named, *self.called, *self.left_out], [column.name for column in columns], "experiment")
        _check(self.questions, [found.folder.name for found in results], "folder")
        tables = [(group, [known[name] for name in group.experiments]) for group in self.tables]
        for found in results:
            left = [c for c in found.columns if c.name not in named and c.name not in self.left_out]
            if left:
                tables.append((Group(found.title, tuple(c.name for c in left)), left))
        return tables


@dataclass(frozen=True)
class Paper:
    """A paper's results on tasks that experiments here follow."""

    name: str
    url: str
    data: str
    """the data of its figures, in words"""
    scores: Mapping[str, Mapping[str, float]]
    """title of an experiment -> label -> mean"""


def papers() -> list[Paper]:
    """The papers in ``papers.toml``."""
    path = files("agents.benchmark.leaderboard").joinpath("papers.toml")
    plain = _toml(path.read_bytes(), "papers.toml")
    return [typed(Paper, one, "papers.toml") for one in plain["paper"]]


def words_of(folders: Iterable[Path]) -> Words:
    """The texts in ``leaderboard.toml`` of the first folder that has one; otherwise the defaults."""
    path = next((folder / FILE for folder in folders if (folder / FILE).exists()), None)
    return Words() if path is None else Words.read(path)


def _check(named: Iterable[str], known: Sequence[str], kind: str) -> None:
    """Checks that each name is known, and only once."""
    for name in named:
        if known.count(name) != 1:
            twice = f"Two folders of results make {name!r} ambiguous: rename one of them."
            raise ValueError(twice if name in known else unknown(f"{kind} in these results", name, known))


def _group(plain: Any, path: Path) -> Group:
    if not isinstance(plain, dict):
        raise ValueError(f"{path}: expected tables with a title and experiments, not {repr(plain)[:80]}.")
    return typed(Group, plain, f"{path}, a table")


def _toml(content: bytes, where: object) -> dict[str, Any]:
    try:
        return tomllib.loads(content.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{where}: expected TOML ({error}).") from error
