"""One table of a leaderboard: policies by experiments; trained policies come first, from the best to the worst."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from agents.benchmark.leaderboard.results import RETURN, Column, Kind
from agents.benchmark.leaderboard.words import Paper


class Line(NamedTuple):
    """The row of one policy."""

    kind: Kind
    label: str


@dataclass(frozen=True)
class Board:
    """Experiments side by side."""

    columns: Sequence[Column]

    def lines(self) -> list[Line]:
        """The rows: trained policies, the best mean place first; then exact learners; then scripted policies."""
        places = self._places()
        trained = [Line("trained", label) for label in sorted(places, key=lambda label: places[label])]
        return [*trained, *self._others("exact"), *self._others("not trained")]

    def _places(self) -> dict[str, float]:
        """Mean place of each method over the experiments that have it; 0 is the first place, 1 the last."""
        places: dict[str, list[float]] = {}
        for column in self.columns:
            ranked = column.trained
            for place, score in enumerate(ranked):
                places.setdefault(score.label, []).append(place / max(1, len(ranked) - 1))
        return {label: sum(found) / len(found) for label, found in places.items()}

    def _others(self, kind: Kind) -> list[Line]:
        if all(column.measure != RETURN for column in self.columns):
            return []
        labels = [s.label for column in self.columns if column.measure == RETURN for s in column.scores]
        return [Line(kind, label) for label in dict.fromkeys(labels) if any(c.find(kind, label) for c in self.columns)]

    def published(self, papers: Sequence[Paper]) -> list[tuple[Paper, str, list[float | None]]]:
        """The rows of papers: paper, label, and the figure in each column or None; papers without any are left out."""
        lines = []
        for paper in papers:
            known = [paper.scores.get(column.title, {}) for column in self.columns]
            for label in dict.fromkeys(label for figures in known for label in figures):
                lines.append((paper, label, [figures.get(label) for figures in known]))
        return lines
