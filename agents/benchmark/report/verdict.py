"""Writes the result of an experiment in one sentence: the best agent, its lead over imitation, and what is possible.

Two methods differ if the 95 % interval of their difference excludes 0. The interval is a bootstrap over the differences
of runs with the same seed, because these mostly start from the same weights. With one seed the spread is unknown, and
the sentence says so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from agents.benchmark.experiment import Cell
from agents.benchmark.report.outcome import Outcome, interval, number
from agents.evaluation import stats
from lang_envs import scores

Runs = Mapping[int, float]
"""seed -> the score of that training run"""
RANK_TEST = "in the rank test, how often an expert's first word is valued above a suboptimal one"
_NAMED = 3  # how many of the agents that do not differ from the best are named
NOTE = (
    "In brackets: 95 % intervals over training seeds, by bootstrap. The best of several methods is chosen on the very "
    "episodes that are reported, which flatters it."
)


class Difference(NamedTuple):
    """The difference of two methods over the seeds that both have."""

    mean: float
    interval: stats.Interval
    """NaN at both ends for fewer than two seeds in common"""

    @property
    def known(self) -> bool:
        """Whether there are enough seeds for an interval."""
        return not math.isnan(self.interval.low)

    @property
    def is_tie(self) -> bool:
        """Whether the interval holds 0."""
        return self.known and self.interval.low <= 0 <= self.interval.high


def verdict(outcome: Outcome) -> str:
    """The sentence, without a heading; unfinished agents are not in it."""
    runs = runs_of(outcome)
    if not runs:
        return "; ".join(["No agent is finished yet", *_possible(outcome)]) + "."
    best, *others = sorted(runs, key=lambda label: -_mean(runs[label]))
    copy = imitation(outcome, list(runs))
    rival = copy if copy in others else next(iter(others), None)
    parts = [_first(outcome, runs, best, rival, copy)]
    if rival is not None and not difference(runs[best], runs[rival]).known:
        parts.append(f"{'one seed' if len(runs[best]) == 1 else 'one seed of both'} does not tell that from chance")
    parts += _ties(runs, best, [label for label in others if label != rival])
    return "; ".join([*parts, *_possible(outcome)]) + "."


def leaders(outcome: Outcome) -> list[str]:
    """The labels that the sentence names: the best agent, imitation, the best untrained policy, and optimal play."""
    runs = runs_of(outcome)
    best_first = sorted(runs, key=lambda label: -_mean(runs[label]))
    copy = imitation(outcome, best_first)
    optimal, marks = _not_trained(outcome)
    named = [*best_first[:1], copy, *sorted(marks, key=lambda label: -marks[label])[:1], optimal]
    return list(dict.fromkeys(label for label in named if label is not None))


def runs_of(outcome: Outcome) -> dict[str, Runs]:
    """Label -> seed -> score: the return, or in a rank test experiment the score at the end token."""
    metric = "rank/target/0" if outcome.experiment.rank_test else "return"
    found = {
        label: {r["spec"]["seed"]: r["metrics"][metric] for r in results if metric in r["metrics"]}
        for label, results in outcome.cells.items()
    }
    return {label: runs for label, runs in found.items() if runs}


def imitation(outcome: Outcome, measured: Sequence[str]) -> str | None:
    """The label of an agent that imitates all of its logs: "BC" if it is one, else the first; None without any."""
    found = [cell.label for cell in outcome.experiment.cells if cell.label in measured and _imitates(cell)]
    return "BC" if "BC" in found else next(iter(found), None)


def difference(ours: Runs, theirs: Runs) -> Difference:
    """Scores of ``ours`` minus ``theirs``, seed by seed; if they share no seed, the difference of means alone."""
    shared = sorted(ours.keys() & theirs.keys())
    if not shared:
        return Difference(_mean(ours) - _mean(theirs), stats.Interval(math.nan, math.nan))
    apart = [ours[seed] - theirs[seed] for seed in shared]
    return Difference(float(np.mean(apart)), stats.bootstrap_interval(apart, np.random.default_rng(0)))


def _imitates(cell: Cell) -> bool:
    as_it_comes = not cell.trained and cell.start is None
    return cell.agent == "bc" and not as_it_comes and not any(name.startswith("keep_") for name in cell.config)


def _first(outcome: Outcome, runs: Mapping[str, Runs], best: str, rival: str | None, copy: str | None) -> str:
    """The first part: the best agent compared with imitation; if imitation is best or absent, with the second best."""
    where = f"{RANK_TEST}, " if outcome.experiment.rank_test else ""
    where += "imitation is not beaten: " if best == copy and rival else ""
    does = "scores" if outcome.experiment.rank_test else "earns"
    most = " most," if rival else ""
    seeds = "one seed" if len(runs[best]) == 1 else f"{len(runs[best])} seeds"
    alone = f"{best} {does}{most} {_score(runs[best])} in {seeds}"
    if rival is None:
        return _sentence(where + alone)
    apart = difference(runs[best], runs[rival])
    if apart.is_tie:
        both = f"{_score(runs[best])} and {_score(runs[rival])} in {seeds}"
        return _sentence(f"{where}{best} and {rival} do not differ: {both}, {_apart(apart)} apart")
    beside = f"imitation ({rival} {number(_mean(runs[rival]))})" if rival == copy else _marked(rival, runs)
    return _sentence(f"{where}{alone}, {_apart(apart)} more than {beside}")


def _ties(runs: Mapping[str, Runs], best: str, others: Sequence[str]) -> list[str]:
    """The part that names other agents that do not differ from the best; empty without any."""
    level = [label for label in others if difference(runs[best], runs[label]).is_tie]
    if not level:
        return []
    named = [_marked(label, runs) for label in level[:_NAMED]]
    named += [f"{len(level) - _NAMED} more"] if len(level) > _NAMED else []
    together = named[0] if len(named) == 1 else f"{', '.join(named[:-1])} and {named[-1]}"
    return [f"{together} {'does' if len(level) == 1 else 'do'} not differ from {best}"]


def _possible(outcome: Outcome) -> list[str]:
    """The parts with the scores of other policies: the best untrained one, the best exact learner, optimal play."""
    if outcome.experiment.rank_test:
        if outcome.yardsticks is None:
            return []
        ideal, ceiling = (number(outcome.yardsticks[name][0]) for name in ("ideal", "ceiling"))
        return [f"the behaviour's own values score {ideal}, and {ceiling} is attainable"]
    found = []
    optimal, marks = _not_trained(outcome)
    if marks:
        best = max(marks, key=lambda label: marks[label])
        found.append(f"the best policy without training, {best}, earns {number(marks[best])}")
    if exact := {label: r["metrics"]["return"] for label, r in outcome.exact.items()}:
        best = max(exact, key=lambda label: exact[label])
        found.append(f"the exact learner {best}, a table of the log, earns {number(exact[best])}")
    if optimal is not None:
        found.append(f"optimal play, known exactly, earns {number(outcome.baselines[optimal]['metrics']['return'])}")
    return found


def _not_trained(outcome: Outcome) -> tuple[str | None, dict[str, float]]:
    """The label of the baseline that plays optimally, if there is one, and the returns of the other baselines."""
    optimal = _known_optimum(outcome)
    return optimal, {label: r["metrics"]["return"] for label, r in outcome.baselines.items() if label != optimal}


def _known_optimum(outcome: Outcome) -> str | None:
    """The baseline that plays optimally, if the environment's optimum is known; Wordle's "optimal" is only strong."""
    try:
        known = scores.reference(outcome.experiment.env).optimum is not None
    except ValueError:  # an environment from elsewhere, without reference scores
        known = False
    labels = [b.label for b in outcome.experiment.baselines if b.policy == "optimal" and b.label in outcome.baselines]
    return labels[0] if known and labels else None


def _mean(runs: Runs) -> float:
    return float(np.mean(list(runs.values())))


def _score(runs: Runs) -> str:
    summary = stats.summarise(list(runs.values()), np.random.default_rng(0))
    ends = f" {interval(summary.interval)}" if summary.runs > 1 else ""
    return number(summary.mean) + ends


def _apart(apart: Difference) -> str:
    """The size of a difference with its interval, with enough digits to show that it is not 0."""
    size = abs(apart.mean)
    digits = 2 if size == 0 or size >= 0.01 else min(6, -math.floor(math.log10(size)))
    ends = f" [{apart.interval.low:.{digits}f}, {apart.interval.high:.{digits}f}]" if apart.known else ""
    return f"{size:.{digits}f}{ends}"


def _marked(label: str, runs: Mapping[str, Runs]) -> str:
    return f"{label} ({number(_mean(runs[label]))})"


def _sentence(words: str) -> str:
    """The words with a capital at the beginning; an agent's name at the beginning stays as it is."""
    return words[0].upper() + words[1:] if words.startswith(("in ", "imitation ")) else words
