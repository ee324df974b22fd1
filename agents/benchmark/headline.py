"""A whole suite at one glance: the best agent of every experiment, and every agent across experiments."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from agents import stats
from agents.benchmark.outcome import DASH, Outcome, Table, interval, number

Floats = NDArray[np.float64]


class Across(NamedTuple):
    """Agents that were trained in every one of K experiments with normalised scores, R times in each."""

    experiments: list[str]
    scores: dict[str, Floats]
    """label -> normalised scores [R, K], the agent with the highest interquartile mean first"""

    def interval(self, label: str) -> stats.Interval:
        """95 % of the interquartile mean: a bootstrap of the training runs, stratified by experiment."""
        return stats.bootstrap_interval(self.scores[label], np.random.default_rng(0), stats.iqm)


def across(outcomes: Sequence[Outcome]) -> Across | None:
    """The agents that can be compared over several experiments; None where there are none.

    Where experiments have different numbers of runs, as in an unfinished suite, the first ones are taken.
    """
    known = [o for o in outcomes if o.cells and not math.isnan(o.normalised(0.0))]
    shared = [label for label in (known[0].cells if known else []) if all(label in o.cells for o in known)]
    if len(known) < 2 or not shared:
        return None
    runs = min(len(o.cells[label]) for o in known for label in shared)
    scores = {
        label: np.array([[o.normalised(x) for x in o.returns(label)[:runs]] for o in known]).T  # [R, K]
        for label in shared
    }
    best_first = sorted(shared, key=lambda label: -stats.iqm(scores[label]))
    return Across([o.experiment.name for o in known], {label: scores[label] for label in best_first})


def best_table(outcomes: Sequence[Outcome]) -> Table:
    """One row per experiment: its best agent, the one after it, the best policy that is not trained."""
    rows = []
    for outcome in outcomes:
        ranked = sorted(outcome.cells, key=lambda label: -float(np.mean(outcome.returns(label))))
        if not ranked:
            continue
        summary = stats.summarise(outcome.returns(ranked[0]), np.random.default_rng(0))
        marks = {label: r["metrics"]["return"] for label, r in outcome.baselines.items()}
        not_trained = max(marks, key=lambda label: marks[label], default=None)
        rows.append(
            (
                outcome.experiment.name,
                ranked[0],
                number(summary.mean),
                interval(summary.interval),
                number(outcome.normalised(summary.mean)),
                *_next_best(outcome, ranked),
                DASH if not_trained is None else f"{not_trained} {marks[not_trained]:.2f}",
                f"{summary.runs} × {outcome.experiment.episodes}",
            )
        )
    header = ("experiment", "best agent", "return", "95 %", "normalised", "next", "P(best beats it)", "not trained")
    note = (
        "Agents by mean return over training runs; 95 % are bootstrap intervals over runs. The best of several is "
        "chosen on the very episodes that are shown, which flatters it: how likely one of its runs beats one of the "
        "next agent's says more. Not trained: the best such policy."
    )
    return Table("The best agent of each experiment", (*header, "runs × episodes"), tuple(rows), note)


def _next_best(outcome: Outcome, ranked: Sequence[str]) -> tuple[str, str]:
    """The second agent, and how surely the first is ahead; a single run says nothing about that."""
    if len(ranked) < 2:
        return DASH, DASH
    first, second = (outcome.returns(label) for label in ranked[:2])
    shown = f"{ranked[1]} {np.mean(second):.2f}"
    sure = min(len(first), len(second)) > 1
    return shown, number(stats.probability_of_improvement(first, second)) if sure else DASH


def across_table(found: Across) -> Table:
    """One row per agent: its interquartile mean over experiments and runs, and its mean in each experiment."""
    leader, best = next(iter(found.scores.items()))
    runs = len(best)
    rows = []
    for label, scores in found.scores.items():
        beats = DASH if label == leader else number(stats.probability_of_improvement(scores, best))
        rows.append(
            (
                label,
                number(float(stats.iqm(scores))),
                interval(found.interval(label)),
                number(float(scores.mean())),
                beats,
                *(number(float(x)) for x in scores.mean(0)),
                f"{runs} × {len(found.experiments)}",
            )
        )
    header = ("agent", "IQM", "95 %", "mean", f"P(beats {leader})", *found.experiments, "runs × experiments")
    note = (
        "Normalised scores: 0 and 1 are the two policies named in each experiment. IQM: mean of the middle half of "
        "all runs; its intervals redraw training runs within each experiment (stratified bootstrap). Only agents "
        "trained in all of these experiments."
    )
    return Table("Agents across experiments", header, tuple(rows), note)
