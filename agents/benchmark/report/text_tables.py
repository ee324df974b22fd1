"""Tables of other measures than returns: likeness, diversity, best of k, other environments, settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from agents.benchmark.report.names import name_of
from agents.benchmark.report.outcome import DASH, Outcome, Table, number
from agents.evaluation import stats

LIKENESS = ("bertscore", "bertclick", "chrf", "bleu", "meteor")
_SHOWN_ELSEWHERE = {"return", "return_error", "success", "truncated", "actions", "episodes", "distinct", *LIKENESS}


def likeness_table(outcome: Outcome) -> Table | None:
    """Likeness to the human replies, by several measures."""
    note = (
        "Means over the reported episodes and the training runs, ± the standard error over runs. The measure that was "
        "the reward in training is too favourable to the agents; the others are independent of it."
    )
    return _metrics_table(outcome, "Likeness to the human reply", LIKENESS, note)


def other_table(outcome: Outcome) -> Table | None:
    """All other measures of the episodes."""
    metrics = [r["metrics"] for results in outcome.cells.values() for r in results]
    metrics += [r["metrics"] for r in outcome.baselines.values()]
    names = dict.fromkeys(name for m in metrics for name in m if name not in _SHOWN_ELSEWHERE and "/" not in name)
    note = (
        "Means over the reported episodes and the training runs, ± the standard error over runs. "
        "agents.benchmark.measures explains each measure, and the environment's page those that the task reports."
    )
    return _metrics_table(outcome, "What else the episodes show", tuple(names), note)


def _metrics_table(outcome: Outcome, title: str, names: Sequence[str], note: str) -> Table | None:
    rows = []
    for label in outcome.cells:
        rows.append((label, *(_mean(outcome.metric(label, name)) for name in names)))
    for label, result in outcome.baselines.items():
        rows.append((f"{label} (not trained)", *(_mean(_known(result["metrics"], name)) for name in names)))
    shown = [k for k in range(1, len(names) + 1) if any(row[k] != DASH for row in rows)]
    if not shown:
        return None
    header = ("", *(name_of(names[k - 1]) for k in shown))
    return Table(title, header, tuple((row[0], *(row[k] for k in shown)) for row in rows), note)


def _known(metrics: Mapping[str, float], name: str) -> list[float]:
    return [metrics[name]] if name in metrics else []


def _mean(runs: Sequence[float]) -> str:
    """Mean with its standard error, or a dash."""
    known = [x for x in runs if np.isfinite(x)]
    if not known:
        return DASH
    mean = float(np.mean(known))
    digits = 1 if abs(mean) >= 10 else 2
    error = f" ± {number(stats.standard_error(known), digits)}" if len(known) > 1 else ""
    return number(mean, digits) + error


def best_of_table(outcome: Outcome) -> Table | None:
    """The best of k episodes from the same start."""
    count = outcome.experiment.best_of
    if count < 2:
        return None
    rows = [
        (label, *(_mean(outcome.metric(label, f"best_of/{k}")) for k in range(1, count + 1))) for label in outcome.cells
    ]
    note = (
        "Mean over starts of the best return among k episodes of the same start: the first as decoded, the others "
        "sampled. The best is chosen by the true return, so this is an upper bound for any choice among samples."
    )
    header = ("", *(f"k = {k}" for k in range(1, count + 1)))
    return Table("Best of k", header, tuple(rows), note, kept=header)


def elsewhere_table(outcome: Outcome) -> Table | None:
    """Returns and other measures in the other environments; None if there are none."""
    others = [other.label for other in outcome.experiment.elsewhere]
    if not others:
        return None
    known = sorted({name for runs in outcome.cells.values() for run in runs for name in run["metrics"]})
    of = {other: [name for name in known if name.endswith(f"/{other}")] for other in others}
    first = [name for other in others for name in (f"return/{other}", f"success/{other}") if name in of[other]]
    names = [name for other in others for name in sorted(of[other], key=lambda name: name not in first)]
    rows = [
        (label, _mean(outcome.returns(label)), *(_mean(outcome.metric(label, name)) for name in names))
        for label in outcome.cells
    ]
    heads = (name_of(name).removeprefix("return, ") for name in names)
    note = (
        "Means of the same agents, trained and decoded as here, in other environments: returns, and the measures that "
        "the other columns name."
    )
    return Table("Under other rewards", ("", "here", *heads), tuple(rows), note, kept=("here",))


def groups_table(outcome: Outcome) -> Table | None:
    """For each group of settings: the best on the selection episodes, and the spread over settings."""
    groups: dict[str, list[str]] = {}
    for cell in outcome.experiment.cells:
        if cell.group and cell.label in outcome.cells:
            groups.setdefault(cell.group, []).append(cell.label)
    if not groups:
        return None
    rows = []
    for group, labels in groups.items():
        tried = [(mean, label) for label in labels for mean in _selection(outcome, label)]
        best, chosen = max(tried, key=lambda one: one[0])
        spread = float(np.std([mean for mean, _ in tried]))
        rows.append((group, str(len(tried)), chosen, number(best), _mean(outcome.returns(chosen)), number(spread)))
    header = ("method", "settings", "chosen", "maximum", "its return elsewhere", "σ over settings")
    note = (
        "The settings are all combinations of training and decoding settings. Each is measured on the selection "
        "episodes, as the mean over runs. The maximum was chosen on these same episodes and is too high. The chosen "
        "setting's return on the reported episodes (± over runs) is not. Its decoding is chosen for each run."
    )
    return Table("Over settings", header, tuple(rows), note, kept=("chosen",))


def _selection(outcome: Outcome, label: str) -> list[float]:
    """The return on the selection episodes of each decoding of a cell, averaged over runs."""
    runs = [[tried["return"] for tried in result["decodings"]] for result in outcome.cells[label]]
    return [float(mean) for mean in np.mean(runs, axis=0)]
