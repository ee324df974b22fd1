"""Layout: how a layout is recognised by its columns, and how the conversations of a row are read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from datasets_builders.logs.rows import Numbered, Place
from datasets_builders.logs.table import Table
from datasets_builders.logs.talk import Row, Talk

Read = Callable[[Row], Iterable[Talk]]
"""Returns the conversations of a row; raises ``Fault`` if they cannot be read."""


def as_they_are(rows: Numbered, table: Table) -> Iterator[tuple[Place, Row]]:
    """The rows as they are."""
    yield from rows


@dataclass(frozen=True)
class Layout:
    """One layout of logs.

    Attributes:
        name: its name, for ``--layout`` and the report.
        columns: its columns, in words.
        fits: whether a log's columns are those of the layout.
        reader: makes the function that reads a row; raises DatasetError if a column is ambiguous.
        rewards: where the ratings of a log come from, in words; empty if there are none.
        compares: whether a row holds several replies. Such a layout is preferred to layouts of single replies.
        gathered: joins rows that belong together into one.
    """

    name: str
    columns: str
    fits: Callable[[Table], bool]
    reader: Callable[[Table], Read]
    rewards: Callable[[Table], str]
    compares: bool = False
    gathered: Callable[[Numbered, Table], Iterator[tuple[Place, Row]]] = as_they_are
