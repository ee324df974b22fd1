"""Table: the columns of a log, recognised by their names or named by the user."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any

from datasets_builders.logs.cells import REWARDS, number, numbers, plain, value_at
from datasets_builders.logs.rows import Read
from datasets_builders.logs.talk import Fault, Row
from datasets_builders.storage import DatasetError
from lang_envs.corpora.records import brief

_LISTED = 40  # columns
LOOKED_AT = 16
"""The number of rows from which the columns are known; more than one, because a column may be null in the first row."""
KNOWN: dict[str, tuple[str, ...]] = {
    "prompt": ("prompt", "question", "query", "instruction", "user", "history"),
    "response": ("response", "completion", "answer", "reply", "output", "assistant", "generation"),
    "messages": ("messages", "conversations", "conversation", "dialogue", "dialog", "chat"),
    "system": ("system", "system_prompt"),
    "id": ("id", "conversation_id", "prompt_id", "message_id", "uuid", "_id"),
    "policy": ("policy", "model", "generator", "source", "model_name"),
}
"""The names by which a column of each kind is recognised."""
Spread = Callable[[Row, int], tuple[float | None, ...]]
"""Returns a rating or None for each reply of a row, from the row and its number of replies."""


@dataclass(frozen=True)
class Named:
    """The columns that the user named.

    Attributes:
        columns: the column of each kind in :data:`KNOWN`, where the user named one.
        rewards: the columns of ratings with their weights; a reply's rating is their weighted sum.
        unrated: whether the user asked to leave ratings out.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    rewards: tuple[tuple[str, float], ...] = ()
    unrated: bool = False


class Table:
    """The columns of a log, known from its first rows.

    Attributes:
        columns: the names of the columns, in order.
        sample: for each column the first value that is not null.
    """

    def __init__(self, rows: Iterable[Row], named: Named) -> None:
        self.named, self.sample = named, dict[str, Any]()
        for row in rows:
            for name, value in row.items():
                if self.sample.get(name) is None:
                    self.sample[name] = value
        self.columns = tuple(self.sample)

    @property
    def listed(self) -> str:
        """The names of the columns, as a phrase for errors."""
        names = [brief(name) for name in self.columns[:_LISTED]]
        return f"the columns {', '.join(names)}{', ...' * (len(self.columns) > _LISTED)}"

    def all_of(self, *names: str) -> bool:
        """Whether there is a column of each of these names."""
        return all(name in self.sample for name in names)

    def candidates(self, kind: str) -> list[str]:
        """The columns that may be of a kind. If the user named one, only that one.

        Raises:
            DatasetError: there is no column of the name that the user gave.
        """
        asked = self.named.columns.get(kind)
        if asked is None:
            return [name for name in self.columns if plain(name) in KNOWN[kind]]
        if asked not in self.sample:
            raise DatasetError(f"there is no column {asked!r}; there are {self.listed}")
        return [asked]

    def column(self, kind: str) -> str:
        """The one column of a kind.

        Raises:
            DatasetError: several columns may be of this kind, or none.
        """
        found = self.candidates(kind)
        if len(found) != 1:
            told = f"the columns {found} may each be the {kind}" if found else f"no column is known to be the {kind}"
            raise DatasetError(f"{told}; name the one with --{kind}-column. There are {self.listed}")
        return found[0]

    def maybe(self, kind: str) -> str | None:
        """The first column that may be of a kind; None if there is none."""
        return next(iter(self.candidates(kind)), None)

    # Ratings

    def reward_columns(self, known: Sequence[str] = REWARDS) -> list[str]:
        """The columns of ratings: those that the user named, or the one with a known name.

        Raises:
            DatasetError: several columns have a known name and the user named none.
        """
        if self.named.unrated:
            return []
        if self.named.rewards:
            return [name for name, _ in self.named.rewards]
        found = [name for name in self.columns if plain(name) in known]
        if len(found) > 1:
            raise DatasetError(
                f"the columns {found} may each be the reward; name one, or several with weights, with --reward-column"
            )
        return found

    def rewards(self, known: Sequence[str] = REWARDS, read: Callable[[Any], float | None] = number) -> Spread:
        """The function that reads the ratings of a row; without a column of ratings, it returns None for every reply.

        Args:
            known: the names that the column may have.
            read: reads a single value.
        """
        columns = self.reward_columns(known)
        weights = [weight for _, weight in self.named.rewards] or [1.0]

        def spread(row: Row, replies: int) -> tuple[float | None, ...]:
            if not columns:
                return (None,) * replies
            values = [value_at(row, name) for name in columns]
            if read is not number:
                values = [read(value) for value in values]
            lists = [numbers(value, replies) for value in values]
            return tuple(_weighted(of_one, weights) for of_one in zip(*lists, strict=True))

        return spread

    def rewards_in_words(self, known: Sequence[str] = REWARDS) -> str:
        """Where ratings come from, in words; empty if there are none."""
        columns = self.reward_columns(known)
        if not self.named.rewards:
            return f"column {columns[0]!r}" if columns else ""
        parts = [f"{weight:g} x {name}" for name, weight in self.named.rewards]
        return parts[0].removeprefix("1 x ") if len(parts) == 1 else " + ".join(parts)


def _weighted(values: Sequence[float | None], weights: Sequence[float]) -> float | None:
    known = [value for value in values if value is not None]
    if not known:
        return None
    if len(known) < len(values):
        raise Fault("some of several ratings are missing")
    return sum(weight * value for weight, value in zip(weights, known, strict=True))


def looked_at(rows: Read, named: Named) -> tuple[Table, Read]:
    """The columns of a log from its first 16 rows, and a stream of all its rows, these included.

    Raises:
        DatasetError: there are no rows, or none of the first rows can be read.
    """
    stream = iter(rows)
    first = list(islice(stream, LOOKED_AT))
    if not first:
        raise DatasetError("the log is empty; expected at least one row")
    sample = [row for _, row in first if not isinstance(row, Fault)]
    if not sample:
        place, row = first[0]
        raise DatasetError(f"none of the first {len(first)} rows can be read; the first is {place}: {row}")
    return Table(sample, named), chain(first, stream)
