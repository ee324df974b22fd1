"""How often each algorithm beats another one, such as imitation, over the experiments in which both were trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agents.benchmark.leaderboard.results import Column, Score


@dataclass
class Tally:
    """In how many experiments the best cell of an algorithm is ahead of the best one of another, level, behind."""

    agent: str
    ahead: int = 0
    level: int = 0
    """the 95 % intervals overlap"""
    behind: int = 0

    @property
    def experiments(self) -> int:
        """In how many both were trained, twice or more each."""
        return self.ahead + self.level + self.behind


def against(columns: Sequence[Column], agent: str) -> list[Tally]:
    """Every other algorithm beside ``agent``, the most often ahead first.

    Experiments with two runs or more of both count: one run has no interval.
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
    """Of each algorithm the cell with the highest mean, of those with an interval."""
    found: dict[str, Score] = {}
    for score in column.trained:
        if score.runs > 1:
            found.setdefault(score.agent, score)
    return found
