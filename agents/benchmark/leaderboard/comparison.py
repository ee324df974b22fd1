"""Counts how often each algorithm beats a reference algorithm, over the experiments in which both were trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agents.benchmark.leaderboard.results import Column, Score


@dataclass
class Tally:
    """The number of experiments in which an algorithm's best cell is ahead of, level with or behind the reference's."""

    agent: str
    ahead: int = 0
    level: int = 0
    """the 95 % intervals overlap"""
    behind: int = 0

    @property
    def experiments(self) -> int:
        """The number of experiments in which both have at least two training runs."""
        return self.ahead + self.level + self.behind


def against(columns: Sequence[Column], agent: str) -> list[Tally]:
    """Compares every other algorithm with ``agent``; the one most often ahead comes first.

    Only experiments with at least two runs of both count, because one run has no interval.
    """
    tallies: dict[str, Tally] = {}
    for column in columns:
        best = _best_cells(column)
        reference = best.pop(agent, None)
        if reference is None:
            continue
        for name, score in best.items():
            tally = tallies.setdefault(name, Tally(name))
            if score.interval.low > reference.interval.high:
                tally.ahead += 1
            elif score.interval.high < reference.interval.low:
                tally.behind += 1
            else:
                tally.level += 1
    return sorted(tallies.values(), key=lambda t: (-t.ahead, t.behind / t.experiments, t.agent))


def _best_cells(column: Column) -> dict[str, Score]:
    """The cell of each algorithm with the highest mean, among those with an interval."""
    found: dict[str, Score] = {}
    for score in column.trained:
        if score.runs > 1:
            found.setdefault(score.agent, score)
    return found
