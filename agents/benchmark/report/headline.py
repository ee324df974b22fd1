"""The headline tables of a suite: the best agent of every experiment, and agents across experiments."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from agents.benchmark.report.outcome import DASH, Outcome, Table, interval, number
from agents.benchmark.report.returns_table import distinct
from agents.evaluation import stats

Floats = NDArray[np.float64]


class Across(NamedTuple):
    """Agents that were trained in all of K experiments with normalised returns, with R seeds in each."""

    experiments: list[str]
    scores: dict[str, Floats]
    """label -> normalised scores [R, K], a row for each seed; the agent with the highest interquartile mean first"""

    def interval(self, label: str) -> stats.Interval:
        """95 % bootstrap interval of the interquartile mean over seeds; runs of one seed are not independent."""
        return stats.bootstrap_interval(self.scores[label], np.random.default_rng(0), stats.iqm, together=True)


def across(outcomes: Sequence[Outcome]) -> Across | None:
    """The agents that can be compared over several experiments; None if there are none.

    Only seeds that all agents have in every experiment count; in an unfinished suite some may be missing.
    """
    known = [o for o in outcomes if o.cells and not o.experiment.rank_test and not math.isnan(o.normalised(0.0))]
    shared = [label for label in (known[0].cells if known else []) if all(label in o.cells for o in known)]
    if len(known) < 2 or not shared:
        return None
    seeds = sorted(set.intersection(*(set(o.seeds(label)) for o in known for label in shared)))
    if not seeds:
        return None
    scores = {
        label: np.array([[o.normalised(o.return_of(label, seed)) for o in known] for seed in seeds])  # [R, K]
        for label in shared
    }
    best_first = sorted(shared, key=lambda label: -stats.iqm(scores[label]))
    return Across([o.experiment.name for o in known], {label: scores[label] for label in best_first})


def best_table(outcomes: Sequence[Outcome]) -> Table:
    """One row per experiment: its best agent, the second best, and the best policy that is not trained."""
    rows = []
    for outcome in outcomes:
        runs = scores(outcome)
        ranked = sorted(runs, key=lambda label: -float(np.mean(runs[label])))
        if not ranked:
            continue
        summary = stats.summarise(runs[ranked[0]], np.random.default_rng(0))
        by_return = not outcome.experiment.rank_test
        rows.append(
            (
                outcome.experiment.name,
                "return" if by_return else "rank test",
                ranked[0],
                number(summary.mean),
                interval(summary.interval),
                number(outcome.normalised(summary.mean)) if by_return else DASH,
                *_next_best(runs, ranked),
                _not_trained(outcome) if by_return else DASH,
                str(summary.runs),
                distinct(outcome, outcome.cells[ranked[0]]) if by_return else DASH,
            )
        )
    agents = ("best agent", "mean", "95 %", "normalised", "next", "P(best beats it)")
    header = ("experiment", "asked for", *agents, "not trained", "runs", "distinct episodes")
    note = (
        "Agents are compared by their mean over training runs; 95 % are bootstrap intervals over runs. The best agent "
        "is chosen on the episodes that are shown, so its mean is too high. The probability that one of its runs beats "
        "one of the next agent's is more informative. Not trained: the best policy that is not trained."
    )
    kept = ("best agent", "mean")
    return Table("The best agent of each experiment", header, tuple(rows), note, kept)


def scores(outcome: Outcome) -> dict[str, list[float]]:
    """Label -> the score of each training run: its return, or in a rank test experiment its score at the end token."""
    if not outcome.experiment.rank_test:
        return {label: outcome.returns(label) for label in outcome.cells}
    found = {label: outcome.metric(label, "rank/target/0") for label in outcome.cells}
    return {label: runs for label, runs in found.items() if runs}


def _not_trained(outcome: Outcome) -> str:
    """The best policy that is not trained, with its return."""
    marks = {label: r["metrics"]["return"] for label, r in outcome.baselines.items()}
    best = max(marks, key=lambda label: marks[label], default=None)
    return DASH if best is None else f"{best} {marks[best]:.2f}"


def _next_best(runs: Mapping[str, Sequence[float]], ranked: Sequence[str]) -> tuple[str, str]:
    """The second agent, and the probability that a run of the first beats one of it; a dash for a single run."""
    if len(ranked) < 2:
        return DASH, DASH
    first, second = (runs[label] for label in ranked[:2])
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
        "Normalised scores: each experiment names what is 0 and 1. IQM is the mean of the middle half of all runs. Its "
        "interval is a bootstrap over seeds; all runs of a seed are drawn together, because they start from the same "
        "weights. The table has only agents that were trained in all of these experiments."
    )
    return Table("Agents across experiments", header, tuple(rows), note, kept=("IQM", *found.experiments))
