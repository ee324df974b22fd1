"""Reports exact learners: their table, and their marks in the picture of returns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agents.benchmark.report.outcome import Outcome, Table, number


def exact_learners_table(outcome: Outcome) -> Table | None:
    """The greedy and the sampled return of each exact learner, and its decodings; None if there are none."""
    rows = []
    for label, result in outcome.exact.items():
        greedy, sampled = (result["metrics"][f"{way}/return"] for way in ("greedy", "sampled"))
        said = "; ".join(f"{way}: {_said(decoding)}" for way, decoding in result["decodings"].items())
        rows.append((label, number(greedy), number(sampled), said))
    if not rows:
        return None
    note = (
        "An exact learner is a table with an entry for every state of the log; no network is trained. A state of "
        "Wordle is the words that agree with all feedback, the turn and the letters said. A state of a service desk is "
        "what the desk knows at the moment, and an action is an act. A table does not generalise: on a small log a "
        "network can do better. Returns of Wordle are over 40,000 games from the agents' reported starts (standard "
        "error about .005). Those of a service desk are exact, over all goals. Decodings are the best of a grid, "
        "chosen on the starts on which the agents' decodings are chosen. β is the weight of the advantage, p is the "
        "language model's top-p."
    )
    return Table(
        "Exact learners", ("method", "greedy", "sampled", "decodings"), tuple(rows), note, ("greedy", "sampled")
    )


def _said(decoding: Mapping[str, Any]) -> str:
    words = f"β {decoding['advantage_weight']:g}"
    return words if decoding.get("greedy") else f"{words}, p {decoding['lm_top_p']:g}"


def exact_marks(outcome: Outcome) -> dict[str, float]:
    """The name in the picture -> the better of the greedy and the sampled return."""
    return {f"exact {label}": result["metrics"]["return"] for label, result in outcome.exact.items()}
