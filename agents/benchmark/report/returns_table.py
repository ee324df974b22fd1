"""The table of returns: of every agent, greedy and sampled, with and without its values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from agents.benchmark.report.outcome import DASH, Outcome, Result, Table, interval, number
from agents.evaluation import stats

PROTOCOLS = ("greedy", "sampled")  # in the order of the columns
FEW = 30  # number of distinct greedy episodes below which the note warns


def returns_table(outcome: Outcome) -> Table:
    """Returns of every agent, every baseline, and published methods."""
    everyone = [*outcome.baselines.values(), *(r for results in outcome.cells.values() for r in results)]
    solved = any("success" in r["metrics"] for r in everyone)
    columns = [name for name in _columns() if any(name in r["metrics"] for r in everyone)]
    rows = []
    for label, results in outcome.cells.items():
        s = stats.summarise(outcome.returns(label), np.random.default_rng(0))
        error = number(s.error) if s.runs > 1 else f"({results[0]['metrics']['return_error']:.2f})"
        middle = number(float(stats.iqm(np.array(outcome.returns(label))[:, None])))
        cells = [label, number(s.mean), error, middle, interval(s.interval), number(outcome.normalised(s.mean))]
        if solved:
            cells.append(f"{np.mean(outcome.metric(label, 'success')):.0%}")
        cells += [_mean(results, name) for name in columns]
        rows.append((*cells, _decodings(results), str(s.runs), distinct(outcome, results)))
    for label, result in outcome.baselines.items():
        mean, error = result["metrics"]["return"], result["metrics"]["return_error"]
        cells = [f"{label} (not trained)", number(mean), f"({error:.2f})", DASH, DASH, number(outcome.normalised(mean))]
        if solved:
            known = result["metrics"].get("success")
            cells.append(DASH if known is None else f"{known:.0%}")
        rows.append((*cells, *[DASH] * (len(columns) + 2), distinct(outcome, [result])))
    for method, mean in outcome.experiment.published.items():
        cells = [f"{method} (published)", number(mean), DASH, DASH, DASH, number(outcome.normalised(mean))]
        rows.append((*cells, *[DASH] * (solved + len(columns) + 3)))
    header = ("agent", "return", "± s.e.", "IQM", "95 %", "normalised", *(["success"] if solved else []))
    named = (_columns()[name] for name in columns)
    return Table("Returns", (*header, *named, "decoding", "runs", "distinct episodes"), tuple(rows), _note(outcome))


def distinct(outcome: Outcome, results: Sequence[Result]) -> str:
    """The number of distinct episodes behind a run's return, in text; the range over runs if they differ."""
    return _range([int(r["metrics"].get("distinct", outcome.experiment.episodes)) for r in results])


def _columns() -> dict[str, str]:
    """The metrics of both protocols -> the names of their columns."""
    kinds = {"return": "", "imitation": ", imitation alone"}
    return {f"{protocol}/{kind}": protocol + words for protocol in PROTOCOLS for kind, words in kinds.items()}


def _range(numbers: Sequence[int]) -> str:
    return f"{min(numbers)}" if min(numbers) == max(numbers) else f"{min(numbers)}-{max(numbers)}"


def _mean(results: Sequence[Result], name: str) -> str:
    """The mean of a metric over runs with its standard error; for one run with its error over episodes, if known."""
    runs = [r["metrics"][name] for r in results if name in r["metrics"]]
    if not runs:
        return DASH
    error = results[0]["metrics"].get(f"{name}_error")
    if len(runs) > 1:
        return f"{number(float(np.mean(runs)))} ± {number(stats.standard_error(runs))}"
    return number(runs[0]) + (f" ({error:.2f})" if error is not None else "")


def _decodings(results: Sequence[Result]) -> str:
    """The chosen decodings in words; of each protocol, if both were tried."""
    told: dict[str, str] = {}
    for protocol in PROTOCOLS:
        tried = [r["protocols"][protocol] for r in results if protocol in r.get("protocols", {})]
        if tried:
            told[protocol] = _counted([kinds["best"]["decoding"] for kinds in tried], named=True)
    if len(told) > 1:
        return "; ".join(f"{protocol}: {words}" for protocol, words in told.items())
    return _counted([r["decoding"] for r in results])


def _counted(chosen: Sequence[Mapping[str, Any]], named: bool = False) -> str:
    """Decodings in words, the most frequent first; with ``named`` the words omit greedy and sampled."""
    counts = Counter(said(decoding, named) for decoding in chosen).most_common()
    return counts[0][0] if len(counts) == 1 else " / ".join(f"{words} ({n} of {len(chosen)})" for words, n in counts)


def said(decoding: Mapping[str, Any], named: bool = False) -> str:
    """A decoding in words; with ``named`` they omit whether it is greedy or sampled, as the text before says it."""
    words = []
    if by := decoding.get("rank"):
        words = [f"best of {decoding.get('k', 5)} by {by}"]
    elif count := decoding.get("candidates"):
        words = [f"best of {count}"]
    elif (weight := decoding.get("advantage_weight")) is not None:
        words = [f"β {weight:g}", *(["sampled"] if not (decoding.get("greedy") or named) else [])]
    elif not named:
        words = ["likeliest token" if decoding.get("greedy") else "sampled"]
    if (target := decoding.get("target")) is not None:
        words.append(f"told {target:g}")
    for name, short in (("top_p", "top-p"), ("top_k", "top-k"), ("temperature", "temperature")):
        words += [f"{short} {decoding[key]:g}" for key in (name, f"lm_{name}") if key in decoding]
    words += ["stop strings"] if decoding.get("stop") else []
    return ", ".join(words) or ("likeliest token" if decoding.get("greedy") else "all tokens")


def _note(outcome: Outcome) -> str:
    experiment = outcome.experiment
    note = "± and 95 % are over training runs (bootstrap; with few runs it cannot leave the range of the runs). "
    note += "IQM is the mean of the middle half of the runs. Brackets show the error over the episodes of one run. "
    if experiment.normalise is not None:
        note += _scale(experiment.normalise)
    if any(len(cell.decodings) > 1 for cell in experiment.cells):
        note += (
            "Decodings (β is the weight of the advantage) are chosen for each run on up to "
            f"{experiment.selection_episodes} other episodes. The return is that of the protocol that was better "
            "there. Imitation alone: the best decoding with β 0. "
        )
    return (note + _starts(outcome) + _greedy(outcome)).strip()


def _scale(marks: Sequence[str | float]) -> str:
    """A sentence on what normalised scores mean."""
    told = ", ".join(
        f"{place} is {mark if isinstance(mark, str) else f'a return of {mark:g}'}"
        for place, mark in zip(("0", "½", "1") if len(marks) == 3 else "01", marks, strict=True)
    )
    played = ", on the same episodes" if any(isinstance(mark, str) for mark in marks) else ""
    return f"Normalised: {told}{', linear between' if len(marks) == 3 else ''}{played}. "


def _starts(outcome: Outcome) -> str:
    """A sentence on how starting points are divided between selection and report."""
    everyone = [r for results in outcome.cells.values() for r in results if "starts" in r]
    if not everyone:
        return ""
    found, episodes = everyone[0]["starts"], outcome.experiment.episodes
    report, selection = found["report"], found["selection"]
    if report is None:
        return "Starting points are drawn at random, with different seeds for the choice and for the report. "
    if found["split"]:
        return (
            f"The task's {selection + report} starting points are split: decodings are chosen from {selection} of "
            f"them, the report plays {min(report, episodes)} of the others. "
        )
    if report == selection == 1:
        return "The task has one starting point, which is used for the choice and for the report. "
    if not outcome.experiment.split_starts:
        return (
            f"Decodings are chosen from the same {selection} starting points that are reported: they are the whole "
            "task. "
        )
    return (
        f"Decodings are chosen in another environment of {selection} starting points, the report plays "
        f"{min(report, episodes)} of its own {report}. "
    )


def _greedy(outcome: Outcome) -> str:
    """A sentence on the number of distinct greedy episodes."""
    found = [int(n) for label in outcome.cells for n in outcome.metric(label, "greedy/distinct")]
    if not found:
        return ""
    told = f"Greedy play rests on {_range(found)} distinct episodes, because it always says the same from one start. "
    if max(found) < FEW:
        told += "These are too few to separate small differences between methods from those between starting points. "
    return told
