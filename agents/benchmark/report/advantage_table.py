"""The table of advantage quality: whether learned advantages order tokens as known or played values do."""

from __future__ import annotations

import numpy as np

from agents.benchmark.report.outcome import DASH, Outcome, Table, number
from agents.evaluation.advantage import REFERENCES, first_token


def advantage_table(outcome: Outcome) -> Table | None:
    """The rank correlations at the first token where utterances differ and at the last; None if none was measured."""
    columns = [column for reference in REFERENCES for column in _columns(outcome, reference)]
    if not columns:
        return None
    rows = []
    for label, results in outcome.cells.items():
        runs = [outcome.metric(label, name) for name, _ in columns]
        if any(runs):
            rows.append((label, *map(_mean_and_range, runs), str(len(results))))
    if any(ceilings := [_ceiling(outcome, name) for name, _ in columns]):
        rows.append(("attainable, as far as the reference is sure", *(text or DASH for text in ceilings), DASH))
    note = (
        "Spearman correlation of learned advantages with reference advantages, over several utterances of one state, "
        "averaged over states: 1 is the right order, 0 no relation. The first token is the first at which the "
        "utterances differ. Brackets show the lowest and the highest training run."
    )
    return Table("Advantage quality", ("", *(title for _, title in columns), "runs"), tuple(rows), note)


def _columns(outcome: Outcome, reference: str) -> list[tuple[str, str]]:
    """The metrics of a reference that are shown, and their titles."""
    head = f"advantage/{reference}/"
    measured = {name for results in outcome.cells.values() for r in results for name in r["metrics"]}
    tokens = {name.removeprefix(head) for name in measured if name.startswith(head)}
    shown = ((first_token(tokens), "first token"), ("end", "last token"))
    return [(f"{head}{token}", f"{REFERENCES[reference]}, {place}") for token, place in shown if token in tokens]


def _mean_and_range(runs: list[float]) -> str:
    if not runs:
        return DASH
    shown = number(float(np.mean(runs)))
    return f"{shown} [{min(runs):.2f}, {max(runs):.2f}]" if len(runs) > 1 else shown


def _ceiling(outcome: Outcome, name: str) -> str:
    """The mean over agents of the highest correlation that the reference's noise allows; empty if it is unknown."""
    head, _, place = name.rpartition("/")
    found = [x for label in outcome.cells for x in outcome.metric(label, f"{head}/ceiling/{place}")]
    return number(float(np.mean(found))) if found else ""
