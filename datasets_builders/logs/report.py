"""Report: counts of what an import kept and what it left out, with reasons."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from datasets_builders.logs.rows import Place
from datasets_builders.logs.talk import Fault
from lang_envs.printable import printable

_MOST_KINDS = 40
_OTHERS = "other reasons"


@dataclass
class Report:
    """Counts of an import.

    Attributes:
        layout: the name of the log's layout.
        rewards: where the rewards come from, in words; "none" if there are none.
        rows: number of rows that were read.
        kept: number of conversations that became episodes, held-out ones included.
        held_out: number of these that are held out.
        shortened: number of conversations whose oldest turns were left out of what the agent reads.
        cut: number of replies that were cut at the limit.
        skipped: for each reason, the number of rows and conversations that were left out, and the first of them.
    """

    layout: str
    rewards: str
    rows: int = 0
    kept: int = 0
    held_out: int = 0
    shortened: int = 0
    cut: int = 0
    skipped: dict[str, dict[str, Any]] = field(default_factory=dict)

    def skip(self, place: Place, fault: Fault) -> None:
        """Counts a row or conversation that was left out."""
        kind = fault.kind if fault.kind in self.skipped or len(self.skipped) < _MOST_KINDS else _OTHERS
        first = f"{printable(str(place))}: {printable(str(fault))[:200]}"
        self.skipped.setdefault(kind, {"count": 0, "first": first})["count"] += 1

    def facts(self) -> dict[str, Any]:
        """The counts as ``provenance["import"]`` holds them."""
        return {
            "layout": self.layout,
            "rewards": self.rewards,
            "rows": self.rows,
            "conversations": self.kept,
            "held out": self.held_out,
            "shortened contexts": self.shortened,
            "cut replies": self.cut,
            "skipped": self.skipped,
        }

    def warning(self, low: float, high: float) -> str:
        """A warning about training on returns from ``low`` to ``high``; empty if there is nothing to warn of."""
        if self.rewards == "none":
            return "There are no rewards: agents that imitate (bc) can learn from this data set, others refuse it."
        if low == high:
            return f"All returns are {low:g}: agents that learn from rewards refuse this data set."
        return ""

    def left_out(self) -> str:
        """What was left out and why, in a sentence."""
        return "; ".join(f"{one['count']} for {kind!r} ({one['first']})" for kind, one in self.skipped.items())
