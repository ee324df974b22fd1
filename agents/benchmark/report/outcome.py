"""The results of one experiment, and tables of them."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from agents.benchmark.experiment import Experiment
from agents.evaluation import stats
from datasets_builders import markdown

Result = dict[str, Any]
DASH = "–"
_NO_ERROR = re.compile(r" ± 0\.0+$| \(0\.0+\)$")
_NO_SIGN = re.compile(r"^-(?=0(\.0+)?%?$)")
_LONG = 18  # most characters of a figure with its range


@dataclass(frozen=True)
class Table:
    """A table with a title and a note; the first column has the names of the rows."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    kept: tuple[str, ...] = ()
    """names of columns that ``concise`` keeps whatever they hold, such as those of a matrix; it always keeps
    ``return``"""

    def concise(self) -> Table:
        """The table without columns that have the same value in all rows, or none.

        The note states the values of such columns. All rows and their names stay.
        """
        alike = {k: _alike([row[k] for row in self.rows]) for k in range(1, len(self.header)) if not self._stays(k)}
        left = [k for k in range(len(self.header)) if alike.get(k) is None]
        said = [f"{self.header[k]} {value}" for k, value in alike.items() if value]
        note = " ".join(
            part for part in (self.note, f"Alike wherever known: {'; '.join(said)}." if said else "") if part
        )
        rows = tuple(tuple(row[k] for k in left) for row in self.rows)
        return dataclasses.replace(self, header=tuple(self.header[k] for k in left), rows=rows, note=note)

    def _stays(self, place: int) -> bool:
        return self.header[place] in ("return", *self.kept)

    def markdown(self) -> str:
        """The table in GitHub's Markdown, with all columns but the first aligned to the right."""
        lines = [f"### {markdown.text(self.title)}", ""]
        lines.append(_row(self.header))
        lines.append("|---|" + "---:|" * (len(self.header) - 1))
        lines += map(_row, self.rows)
        return "\n".join([*lines, "", *([markdown.text(self.note), ""] if self.note else [])])

    def is_text(self, place: int) -> bool:
        """Whether a column holds words, which are aligned to the left and may break into lines, rather than figures."""
        return any(len(row[place]) > _LONG and not row[place].endswith("]") for row in self.rows)


def _alike(cells: Sequence[str]) -> str | None:
    """The common value of two or more cells; empty if all are empty or dashes; None if they differ.

    Dashes and empty cells are ignored, and so is an error of 0.
    """
    known = [_NO_SIGN.sub("", _NO_ERROR.sub("", cell)) for cell in cells if cell not in ("", DASH)]
    if not known:
        return ""
    return known[0] if len(known) > 1 and len(set(known)) == 1 else None


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(map(markdown.text, cells)) + " |"


@dataclass(frozen=True)
class Outcome:
    """Everything measured in one experiment."""

    experiment: Experiment
    cells: dict[str, list[Result]]
    """label -> one result per training seed"""
    baselines: dict[str, Result]
    yardsticks: Result | None
    exact: dict[str, Result] = field(default_factory=dict)
    """label -> the result of that exact learner"""

    def returns(self, label: str) -> list[float]:
        """Mean return of each training run."""
        return [result["metrics"]["return"] for result in self.cells[label]]

    def seeds(self, label: str) -> list[int]:
        """The seed of each training run."""
        return [result["spec"]["seed"] for result in self.cells[label]]

    def return_of(self, label: str, seed: int) -> float:
        """Mean return of the training run with that seed."""
        return self.returns(label)[self.seeds(label).index(seed)]

    def metric(self, label: str, name: str) -> list[float]:
        """One metric of each training run that has it."""
        return [r["metrics"][name] for r in self.cells[label] if name in r["metrics"]]

    def normalised(self, value: float) -> float:
        """The normalised score: 0 at the first mark of ``normalise``, 1 at the last, 1/2 at a middle one.

        NaN if the experiment has no marks, or a mark is a baseline that was not measured.
        """
        marks = self.experiment.normalise or ()
        if not marks or not {mark for mark in marks if isinstance(mark, str)} <= set(self.baselines):
            return math.nan
        known = [self.baselines[m]["metrics"]["return"] if isinstance(m, str) else m for m in marks]
        above = len(known) == 3 and value > known[1]
        low, high = known[1:] if above else known[:2]
        return ((value - low) / (high - low) + above) / (len(known) - 1) if high != low else math.nan


def number(value: float, digits: int = 2) -> str:
    """A figure in text; a dash for NaN."""
    return DASH if math.isnan(value) else f"{value:.{digits}f}"


def interval(ends: stats.Interval) -> str:
    """An interval in text; a dash for NaN."""
    return DASH if math.isnan(ends.low) else f"[{ends.low:.2f}, {ends.high:.2f}]"
