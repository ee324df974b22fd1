"""What came of an import: what was kept, and what was left out and why."""

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
        layout: of the log.
        rewards: where they come from, in words; "none" where there are none.
        rows: that were read.
        kept: conversations that became episodes, held-out ones included.
        held_out: of those.
        shortened: conversations whose oldest turns were left out of what the agent reads.
        cut: replies that were cut at the limit.
        skipped: by reason, how many and the first of them.
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
        """Counts what was left out."""
        kind = fault.kind if fault.kind in self.skipped or len(self.skipped) < _MOST_KINDS else _OTHERS
        first = f"{printable(str(place))}: {printable(str(fault))[:200]}"
        self.skipped.setdefault(kind, {"count": 0, "first": first})["count"] += 1

    def facts(self) -> dict[str, Any]:
        """As ``provenance["import"]`` has it."""
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
        """What to know before training on returns from ``low`` to ``high``; empty where there is nothing."""
        if self.rewards == "none":
            return "There are no rewards: agents that imitate (bc) can learn from this data set, others refuse it."
        if low == high:
            return f"All returns are {low:g}: agents that learn from rewards refuse this data set."
        return ""

    def left_out(self) -> str:
        """What was left out and why, in a sentence."""
        return "; ".join(f"{one['count']} for {kind!r} ({one['first']})" for kind, one in self.skipped.items())
