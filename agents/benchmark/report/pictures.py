"""Chooses the pictures that the measurements of an experiment allow, and writes their captions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from matplotlib.figure import Figure

from agents.benchmark.report import alt_texts, curves, plots
from agents.benchmark.report.exact_learners import exact_marks
from agents.benchmark.report.headline import Across
from agents.benchmark.report.outcome import Outcome
from agents.benchmark.report.theme import Theme, looks
from agents.evaluation import stats

Curves = dict[str, dict[str, list[list[tuple[int, float]]]]]
"""metric -> label -> runs -> (step, value)"""
MOST_PANELS = 9
LINES = "lines are means over training runs, bands their range; lines that coincide stand side by side"


class Picture(NamedTuple):
    """A picture of the report."""

    name: str
    draw: Callable[[Theme], Figure]
    caption: str
    result: str
    """what it shows, in words, for readers who do not see it"""


def pictures(outcome: Outcome, agents: Sequence[str]) -> list[Picture]:
    """The pictures of one experiment; ``agents`` are all agents of the suite in order, which determines their looks."""
    found = _rank_pictures(outcome, agents)
    if outcome.cells:
        lines, below = _protocols(outcome)
        marks = {label: r["metrics"]["return"] for label, r in outcome.baselines.items()} | exact_marks(outcome)
        hollow = any(score.hollow for score in (*lines.values(), *below.values()))
        filled = "filled marks greedy, hollow ones sampled; " if hollow else ""
        caption = (
            f"Returns: {filled}small dots are training runs, large marks their mean, bars 95 % intervals over runs; "
            "circles and broken lines are policies that are not trained; arrows point to those outside the axis."
        )
        if outcome.exact:
            caption += " An exact learner is a table of the log, with the better of greedy and sampled decoding."
        means = [{label: score.centre for label, score in part.items()} for part in (lines, below)]
        result = alt_texts.of_scores("Returns", means[0], marks, means[1])
        found.append(
            Picture("returns", lambda theme: plots.scores(theme, agents, lines, marks, below=below), caption, result)
        )
    found += _sweep(outcome, agents)
    training = _curves(outcome, lambda name: name == "data/return" or name.startswith("loss/"))
    if training:
        caption = f"Losses, and returns of the training episodes; {LINES}."
        found.append(_learning("training", agents, training, caption))
    measured = _curves(outcome, _is_drawn)
    if measured:
        found.append(_learning("measured", agents, measured, f"Measured during training; {LINES}."))
    return found


def _learning(name: str, agents: Sequence[str], metrics: Curves, caption: str) -> Picture:
    def draw(theme: Theme) -> Figure:
        return curves.learning_curves(theme, agents, metrics)

    return Picture(name, draw, caption, alt_texts.of_curves(metrics))


def _is_drawn(name: str) -> bool:
    """Whether a metric measured during training has a panel here; the rank test has its own picture."""
    if name.startswith("eval/advantage/"):
        return name.endswith(("/0", "/end")) and "/ceiling/" not in name
    return name.startswith("eval/") and not name.startswith("eval/rank/")


def _protocols(outcome: Outcome) -> tuple[dict[str, plots.Score], dict[str, plots.Score]]:
    """Two scores of each agent: on its line, and below it.

    An agent with greedy and sampled returns has greedy ones on its line and sampled, hollow ones below. An agent with
    only one of them has it on its line.
    """
    lines: dict[str, plots.Score] = {}
    below: dict[str, plots.Score] = {}
    for label in outcome.cells:
        greedy, sampled = (outcome.metric(label, f"{protocol}/return") for protocol in ("greedy", "sampled"))
        if sampled:
            (below if greedy else lines)[label] = plots.of_runs(sampled, hollow=True)
        if greedy or not sampled:
            lines[label] = plots.of_runs(greedy or outcome.returns(label))
    return lines, below


def overview(found: Across, agents: Sequence[str]) -> Picture:
    """The picture of agents across experiments."""
    lines = {
        label: plots.Score(list(scores.mean(0)), float(stats.iqm(scores)), found.interval(label))
        for label, scores in found.scores.items()
    }
    return Picture(
        "overview",
        lambda theme: plots.scores(theme, agents, lines, {}, "normalised score"),
        "Normalised scores: small dots are experiments, large marks the interquartile mean over experiments and runs, "
        "bars its 95 % bootstrap interval over seeds.",
        alt_texts.of_scores("Normalised scores", {label: score.centre for label, score in lines.items()}, {}, {}),
    )


def _sweep(outcome: Outcome, agents: Sequence[str]) -> list[Picture]:
    """Returns over what the experiment varies, if it does; a line has the look of the first of its cells."""
    experiment = outcome.experiment
    lines: dict[str, dict[float, list[float]]] = {}
    levels: dict[str, list[float]] = {}
    first: dict[str, str] = {}  # name of a line or level -> the label of its first cell
    for cell in experiment.cells:
        if cell.label in outcome.cells:
            first.setdefault(cell.line or cell.label, cell.label)
            if cell.line:
                lines.setdefault(cell.line, {})[cell.at] = outcome.returns(cell.label)
            else:
                levels[cell.label] = outcome.returns(cell.label)
    if not experiment.varies or not lines:
        return []

    def draw(theme: Theme) -> Figure:
        look = looks(theme, agents)
        return curves.sweep(
            theme, {name: look[label] for name, label in first.items()}, lines, levels, experiment.varies
        )

    caption = f"Returns over {experiment.varies}: {LINES}."
    return [Picture("sweep", draw, caption, alt_texts.of_sweep(experiment.varies, lines, levels))]


def _rank_pictures(outcome: Outcome, agents: Sequence[str]) -> list[Picture]:
    found, y = _rank_curves(outcome), outcome.yardsticks
    if not found or y is None:
        return []
    return [
        Picture(
            "rank-test",
            lambda theme: curves.rank_test(theme, agents, found, y["ideal"], y["ceiling"]),
            f"The rank test over training, target Q; {LINES}.",
            alt_texts.of_rank_test(found, y["ideal"], y["ceiling"]),
        ),
        Picture(
            "values",
            lambda theme: curves.values(theme, agents, found, y["behaviour"], y["optimal"]),
            f"Discounted values over training, with those of the behaviour and of optimal play; {LINES}.",
            alt_texts.of_values(curves.VALUES, found, y["behaviour"], y["optimal"]),
        ),
    ]


def _rank_curves(outcome: Outcome) -> dict[str, list[list[dict[str, Any]]]]:
    """The rank test's measurements over training, label -> runs -> points; agents without values are left out."""
    offsets = range(len(outcome.yardsticks["ceiling"])) if outcome.yardsticks else range(0)
    found = {}
    for label, results in outcome.cells.items():
        runs = [
            [
                {
                    "step": row["step"],
                    "target": [row[f"eval/rank/target/{k}"] for k in offsets],
                    **{key: row[f"eval/rank/{key}"] for key in ("start", "better", "worse")},
                }
                for row in result.get("curve", [])
                if "eval/rank/start" in row
            ]
            for result in results
        ]
        if all(runs):
            found[label] = runs
    return found


def _curves(outcome: Outcome, chosen: Callable[[str], bool]) -> Curves:
    """The chosen metrics over training steps, at most ``MOST_PANELS``; metrics that never change are left out."""
    rows = [row for results in outcome.cells.values() for result in results for row in result.get("curve", [])]
    names = [name for name in dict.fromkeys(name for row in rows for name in row) if chosen(name)]
    changing = [name for name in names if all(len({row[x] for row in rows if name in row}) > 1 for x in (name, "step"))]
    found: Curves = {}
    for name in changing[:MOST_PANELS]:
        for label, results in outcome.cells.items():
            runs = [[(row["step"], row[name]) for row in r.get("curve", []) if name in row] for r in results]
            if all(runs):
                found.setdefault(name, {})[label] = runs
    return found
