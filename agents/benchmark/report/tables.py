"""Results as rows and as tables: one row per cell, seed and metric for machines, a table per question for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from agents.benchmark.experiment import Baseline, Cell, ExactLearner, Experiment
from agents.benchmark.report.exact_learners import exact_learners_table
from agents.benchmark.report.outcome import DASH, Outcome, Result, Table, interval, number
from agents.benchmark.report.text_tables import (
    best_of_table,
    elsewhere_table,
    groups_table,
    likeness_table,
    other_table,
)
from agents.evaluation import stats


def _decoding(results: Sequence[Result]) -> str:
    """What was chosen, per training run where the runs differ."""
    chosen = [_said(result["decoding"]) for result in results]
    return chosen[0] if len(set(chosen)) == 1 else "; ".join(chosen)


def _said(decoding: Mapping[str, Any]) -> str:
    """A decoding in words."""
    words = "likeliest token" if decoding.get("greedy") else "sampled"
    if temperature := decoding.get("temperature"):
        words += f" at {temperature:g}"
    if (weight := decoding.get("advantage_weight")) is not None:
        words = f"β {weight:g}" + ("" if decoding.get("greedy") else ", sampled")
    if (target := decoding.get("target")) is not None:
        words += f", told {target:g}"
    if by := decoding.get("rank"):
        words = f"best of {decoding.get('k', 5)} by {by}"
    if count := decoding.get("candidates"):
        words = f"best of {count}"
    return words


def returns_table(outcome: Outcome) -> Table:
    """Returns of every agent and baseline."""
    experiment, rows = outcome.experiment, []
    everyone = [*outcome.baselines.values(), *(r for results in outcome.cells.values() for r in results)]
    solved = any("success" in r["metrics"] for r in everyone)
    for label, results in outcome.cells.items():
        s = stats.summarise(outcome.returns(label), np.random.default_rng(0))
        error = number(s.error) if s.runs > 1 else f"({results[0]['metrics']['return_error']:.2f})"
        middle = number(float(stats.iqm(np.array(outcome.returns(label))[:, None])))
        cells = [label, number(s.mean), error, middle, interval(s.interval), number(outcome.normalised(s.mean))]
        if solved:
            cells.append(f"{np.mean(outcome.metric(label, 'success')):.0%}")
        rows.append((*cells, _decoding(results), f"{s.runs} × {experiment.episodes}"))
    for label, result in outcome.baselines.items():
        mean, error = result["metrics"]["return"], result["metrics"]["return_error"]
        cells = [f"{label} (not trained)", number(mean), f"({error:.2f})", DASH, DASH, number(outcome.normalised(mean))]
        if solved:
            known = result["metrics"].get("success")
            cells.append(DASH if known is None else f"{known:.0%}")
        rows.append((*cells, DASH, f"{DASH} × {experiment.episodes}"))
    solved_header = ["success"] if solved else []
    header = ("agent", "return", "± s.e.", "IQM", "95 %", "normalised", *solved_header, "decoding", "runs × episodes")
    return Table("Returns", header, tuple(rows), _returns_note(experiment))


def _returns_note(experiment: Experiment) -> str:
    note = "± and 95 % are over training runs (bootstrap; with few runs they cannot leave the range that was seen), "
    note += "IQM is the mean of the middle half of the runs; what is in brackets is over the episodes of one run. "
    if experiment.normalise is not None:
        note += f"Normalised: 0 is {experiment.normalise[0]}, 1 is {experiment.normalise[1]}, on the same episodes. "
    if any(len(cell.decodings) > 1 for cell in experiment.cells):
        note += f"Decodings (β weighs the advantage) are chosen for each run on {experiment.selection_episodes} others."
    return note.strip()


def improvement_table(outcome: Outcome) -> Table | None:
    """P(a training run of the row beats one of the column); None with a single run, where it says nothing new."""
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
    return Table("Probability that a run of the row beats one of the column", ("", *labels), tuple(rows), note)


def rank_table(outcome: Outcome) -> Table | None:
    """The rank test at every offset for online and target Q, beside its ceiling and an ideal SARSA."""
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
        "P[Q(expert's first word) > Q(suboptimal first word)] over all pairs of the logs' first words, weighted by how "
        "often they occur; ties lose. Offset 0 is the end token, the last one the first letter. In brackets the lowest "
        "and the highest training run."
    )
    return Table("Rank test", header, tuple(rows), note)


def _tabular(tau: str) -> str:
    return f"table without generalisation, τ {tau}"


def _range(runs: Sequence[float]) -> str:
    return f" [{min(runs):.2f}, {max(runs):.2f}]" if len(runs) > 1 else ""


def value_table(outcome: Outcome) -> Table | None:
    """The values behind the rank test, beside the behaviour's and the optimal ones."""
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
        "Discounted per token; V before the first letter, Q (target heads) at the end token of the first word. Values "
        "above those of optimal play are too optimistic. The table is ILQL's fixed point on these logs with an entry "
        "for every history: what a network finds beyond it, it finds by generalising."
    )
    return Table("Values", header, tuple(rows), note)


EXACT = {
    "values/start": "V at the start",
    "values/optimal_error": "RMS to the optimum",
    "values/behaviour_error": "RMS to the behaviour",
}


def exact_table(outcome: Outcome) -> Table | None:
    """Learned values beside the exact ones."""
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
    note = "RMS: root mean square distance of Q to the exact one over all logged actions, weighted by their frequency."
    return Table("Learned values beside the exact ones", ("", *EXACT.values(), "runs"), tuple(rows), note)


def tables(outcome: Outcome) -> list[Table]:
    """Every table that the experiment's measurements allow, the headline first."""
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
        exact_table(outcome),
    ]
    return [table for table in found if table is not None]


def long_rows(outcome: Outcome) -> list[dict[str, Any]]:
    """One row per cell, seed and metric; the seed of a policy that is not trained is null."""
    rows: list[dict[str, Any]] = []

    def add(part: Cell | Baseline | ExactLearner, seed: int | None, metrics: Mapping[str, float]) -> None:
        agent = part.policy if isinstance(part, Baseline) else part.agent if isinstance(part, Cell) else part.method
        for name, value in metrics.items():
            rows.append(
                {
                    "experiment": outcome.experiment.name,
                    "label": part.label,
                    "agent": agent,
                    "trained": isinstance(part, Cell),
                    "seed": seed,
                    "metric": name,
                    "value": float(value),
                    "episodes": outcome.experiment.episodes,
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
