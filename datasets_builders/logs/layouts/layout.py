"""What a layout is: how it is known by its columns, and what conversations a row of it holds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from datasets_builders.logs.rows import Numbered, Place
from datasets_builders.logs.table import Table
from datasets_builders.logs.talk import Row, Talk

Read = Callable[[Row], Iterable[Talk]]
"""The conversations of a row; raises ``Fault`` where it has none."""


def as_they_are(rows: Numbered, table: Table) -> Iterator[tuple[Place, Row]]:
    """Each row by itself."""
    yield from rows


@dataclass(frozen=True)
class Layout:
    """One way in which logs are written.

    Attributes:
        name: for ``--layout`` and the report.
        columns: what it has, in words.
        fits: whether a log's columns are those of the layout.
        reader: makes what reads a row; raises DatasetError where a column is ambiguous.
        rewards: where the ratings of a log come from, in words; empty where there are none.
        compares: whether a row holds several replies, so that columns of single ones beside them mean nothing.
        gathered: makes one row of several that belong together.
    """

    name: str
    columns: str
    fits: Callable[[Table], bool]
    reader: Callable[[Table], Read]
    rewards: Callable[[Table], str]
    compares: bool = False
    gathered: Callable[[Numbered, Table], Iterator[tuple[Place, Row]]] = as_they_are
