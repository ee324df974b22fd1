"""Makes the tables of an experiment, and the rows of ``results.parquet``: one per cell, seed and metric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from agents.benchmark.experiment import Baseline, Cell, ExactLearner
from agents.benchmark.report.advantage_table import advantage_table
from agents.benchmark.report.exact_learners import exact_learners_table
from agents.benchmark.report.names import name_of
from agents.benchmark.report.outcome import DASH, Outcome, Table, number
from agents.benchmark.report.returns_table import returns_table
from agents.benchmark.report.text_tables import (
    best_of_table,
    elsewhere_table,
    groups_table,
    likeness_table,
    other_table,
)
from agents.evaluation import stats


def improvement_table(outcome: Outcome) -> Table | None:
    """P(a training run of the row beats one of the column); None if an agent has a single run."""
    labels = list(outcome.cells)
    if min((len(results) for results in outcome.cells.values()), default=0) < 2:
        return None
    rows = []
    for row in labels:
        beats = [
            DASH
            if row == column
            else number(stats.probability_of_improvement(outcome.returns(row), outcome.returns(column)))
            for column in labels
        ]
        rows.append((row, *beats))
    note = "Returns; all pairs of training runs, a tie counts one half."
    return Table(
        "Probability that a run of the row beats one of the column",
        ("", *labels),
        tuple(rows),
        note,
        kept=tuple(labels),
    )


def rank_table(outcome: Outcome) -> Table | None:
    """The rank test at every offset for online and target Q, with its ceiling, an ideal SARSA and exact tables."""
    if outcome.yardsticks is None:
        return None
    offsets = range(len(outcome.yardsticks["ceiling"]))
    rows = []
    for label, results in outcome.cells.items():
        for kind in ("target", "online"):
            runs = [outcome.metric(label, f"rank/{kind}/{k}") for k in offsets]
            if not runs[0]:
                continue
            shown = [number(float(np.mean(run))) + _range(run) for run in runs]
            rows.append((f"{label}, {kind} Q", *shown, str(len(results))))
    lines = {"behaviour's values (ideal SARSA)": outcome.yardsticks["ideal"]}
    lines |= {_tabular(tau): values["target"] for tau, values in outcome.yardsticks["tabular"].items()}
    for name, values in {**lines, "attainable": outcome.yardsticks["ceiling"]}.items():
        rows.append((name, *(number(x) for x in values), DASH))
    header = ("", *(f"offset {k}" for k in offsets), "runs")
    note = (
        "P[Q(expert's first word) > Q(suboptimal first word)] over all pairs of the logs' first words, weighted by "
        "their frequency; a tie is not a win. Offset 0 is the end token, the last offset is the first letter. Brackets "
        "show the lowest and the highest training run."
    )
    return Table("Rank test", header, tuple(rows), note, kept=header[1:-1])


def _tabular(tau: str) -> str:
    return f"table without generalisation, τ {tau}"


def _range(runs: Sequence[float]) -> str:
    return f" [{min(runs):.2f}, {max(runs):.2f}]" if len(runs) > 1 else ""


def value_table(outcome: Outcome) -> Table | None:
    """The values behind the rank test, with those of the behaviour and of optimal play."""
    if outcome.yardsticks is None:
        return None
    rows = []
    for label, results in outcome.cells.items():
        runs = {key: outcome.metric(label, f"rank/{key}") for key in ("start", "better", "worse")}
        if not runs["start"]:
            continue
        gap = [b - w for b, w in zip(runs["better"], runs["worse"], strict=True)]
        shown = [number(float(np.mean(x))) + _range(x) for x in (*runs.values(), gap)]
        rows.append((label, *shown, str(len(results))))
    lines = {"behaviour, from the logs": outcome.yardsticks["behaviour"]}
    lines |= {_tabular(tau): values for tau, values in outcome.yardsticks["tabular"].items()}
    for name, values in {**lines, "optimal play": outcome.yardsticks["optimal"]}.items():
        shown = [number(values[k]) for k in ("start", "better", "worse")]
        rows.append((name, *shown, number(values["better"] - values["worse"]), DASH))
    header = ("", "V at the start", "Q(expert word)", "Q(suboptimal word)", "difference", "runs")
    note = (
        "Values are discounted per token: V before the first letter, Q (target heads) at the end token of the first "
        "word. Values above those of optimal play are too optimistic. The table is ILQL's fixed point on these logs "
        "with an entry for every history. A network that differs from it generalises, or has not converged."
    )
    return Table("Values", header, tuple(rows), note)


EXACT = ("values/start", "values/optimal_error", "values/behaviour_error")


def exact_table(outcome: Outcome) -> Table | None:
    """Learned values and their distance to the exact ones."""
    rows = []
    for label, results in outcome.cells.items():
        runs = [outcome.metric(label, name) for name in EXACT]
        if runs[0]:
            rows.append((label, *(number(float(np.mean(x))) + _range(x) for x in runs), str(len(results))))
    if not rows:
        return None
    some = next(r["metrics"] for results in outcome.cells.values() for r in results if "values/start" in r["metrics"])
    rows.append(("exact, behaviour", number(some["values/behaviour_start"]), DASH, number(0.0), DASH))
    rows.append(("exact, optimal", number(some["values/optimal_start"]), number(0.0), DASH, DASH))
    note = "RMS: root mean square over all logged actions, weighted by their frequency."
    return Table("Learned values beside the exact ones", ("", *map(name_of, EXACT), "runs"), tuple(rows), note)


def tables(outcome: Outcome) -> list[Table]:
    """All tables that the experiment's measurements allow, each without columns that are equal in all rows."""
    found = [
        rank_table(outcome),
        value_table(outcome),
        returns_table(outcome),
        exact_learners_table(outcome),
        likeness_table(outcome),
        other_table(outcome),
        best_of_table(outcome),
        elsewhere_table(outcome),
        groups_table(outcome),
        improvement_table(outcome),
        advantage_table(outcome),
        exact_table(outcome),
    ]
    return [table.concise() for table in found if table is not None]


def long_rows(outcome: Outcome) -> list[dict[str, Any]]:
    """One row per cell, seed and metric; the seed of a policy that is not trained is null."""
    rows: list[dict[str, Any]] = []

    def add(part: Cell | Baseline | ExactLearner, seed: int | None, metrics: Mapping[str, float]) -> None:
        agent = part.policy if isinstance(part, Baseline) else part.agent if isinstance(part, Cell) else part.method
        for name, value in metrics.items():
            played = metrics.get(f"{name.rpartition('/')[0]}/episodes", metrics.get("episodes"))
            rows.append(
                {
                    "experiment": outcome.experiment.name,
                    "label": part.label,
                    "agent": agent,
                    "trained": isinstance(part, Cell),
                    "seed": seed,
                    "metric": name,
                    "value": float(value),
                    "episodes": int(outcome.experiment.episodes if played is None else played),
                }
            )

    for cell in outcome.experiment.cells:
        for result in outcome.cells.get(cell.label, []):
            add(cell, result["spec"]["seed"], result["metrics"])
    for baseline in outcome.experiment.baselines:
        if baseline.label in outcome.baselines:
            add(baseline, None, outcome.baselines[baseline.label]["metrics"])
    for learner in outcome.experiment.exact:
        if learner.label in outcome.exact:
            add(learner, None, outcome.exact[learner.label]["metrics"])
    return rows
