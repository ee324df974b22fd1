"""The benchmark's pictures: scores with intervals, the rank test and the values over training, learning curves.

Every agent keeps its look in every picture. Each picture is drawn once for a light page and once for a dark one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from agents.benchmark.report.theme import Look, Theme, figure, legend, looks
from agents.evaluation import stats


class Score(NamedTuple):
    """What is drawn of one agent on a line of scores."""

    dots: Sequence[float]
    centre: float
    interval: stats.Interval
    hollow: bool = False
    """whether its marks are drawn without a filling"""


def of_runs(runs: Sequence[float], hollow: bool = False) -> Score:
    """Training runs, their mean and its 95 % interval."""
    summary = stats.summarise(runs, np.random.default_rng(0))
    return Score(runs, summary.mean, summary.interval, hollow)


def scores(
    theme: Theme,
    agents: Sequence[str],
    lines: Mapping[str, Score],
    marks: Mapping[str, float],
    quantity: str = "return",
    below: Mapping[str, Score] | None = None,
) -> Figure:
    """One line per agent: small dots, a marker and an interval; below them the policies that are not trained.

    The axis spans the agents, so that what they differ by is seen. A mark far from them stands at its edge, an arrow
    with its score.

    Args:
        theme: colours of the page.
        agents: all agents of the suite, in order: their looks.
        lines: agent -> what is drawn of it.
        marks: policies that are not trained -> their scores; a line goes up from each through all agents.
        quantity: what the scores are.
        below: agent -> what is drawn of it a little lower, as of another way to measure the same.
    """
    below = below or {}
    places = len(lines) + len(marks)
    drawn, (axis,) = figure(theme, 1, 1, 7.2, 0.9 + (0.4 if below else 0.3) * places)
    look = looks(theme, agents)
    for place, (label, score) in enumerate(lines.items()):
        apart = 0.2 if label in below else 0.0
        _draw_score(axis, theme, look[label], score, place - apart)
        if label in below:
            _draw_score(axis, theme, look[label], below[label], place + apart)
    low, high = _span([*lines.values(), *below.values()], list(marks.values()))
    best_first = sorted(marks.items(), key=lambda item: -item[1])
    for place, (_, value) in enumerate(best_first, len(lines)):
        if low <= value <= high:
            _mark(axis, theme, value, place)
        else:
            _arrow(axis, theme, value, place, right=value > high)
    if high > low:
        axis.set_xlim(low - 0.04 * (high - low), high + 0.04 * (high - low))
    axis.set_yticks(range(places), [*lines, *(label for label, _ in best_first)])
    for tick in axis.get_yticklabels()[len(lines) :]:
        tick.set_fontstyle("italic")
    axis.set_ylim(places - 0.4, -0.6)
    axis.set_xlabel(quantity, fontsize=9)
    return drawn


def _draw_score(axis: Axes, theme: Theme, look: Look, score: Score, place: float) -> None:
    """Small dots, an interval and a marker, all of them hollow or none."""
    dots: dict[str, Any] = {"markerfacecolor": "none", "alpha": 0.6} if score.hollow else {"alpha": 0.45}
    axis.plot(score.dots, [place] * len(score.dots), "o", color=look.colour, markersize=4, **dots)
    if not np.isnan(score.interval.low):
        width = 1.3 if score.hollow else 2.5
        axis.plot(score.interval, [place] * 2, color=look.colour, linewidth=width, solid_capstyle="round")
    fill = {"markerfacecolor": theme.paper, "markeredgecolor": look.colour, "markeredgewidth": 1.5}
    style: dict[str, Any] = fill if score.hollow else {"markeredgecolor": theme.paper}
    axis.plot([score.centre], [place], look.marker, color=look.colour, markersize=8, **style)


def _span(lines: Iterable[Score], marks: Sequence[float]) -> tuple[float, float]:
    """From where to where the agents reach, and the marks that are no further from them than they from each other.

    It is a tenth of the whole at least, so that noise does not look like a difference.
    """
    reached = [x for line in lines for x in (*line.dots, line.centre, *line.interval) if not np.isnan(x)]
    low, high = min(reached), max(reached)
    apart = max(high - low, 0.1 * (max(*reached, *marks) - min(*reached, *marks)))
    near = [x for x in marks if low - apart <= x <= high + apart]
    low, high = min([low, *near]), max([high, *near])
    missing = max(0.0, apart - (high - low))
    return low - missing / 2, high + missing / 2


def _mark(axis: Axes, theme: Theme, value: float, place: int) -> None:
    """What an untrained policy earns, with a line up through the agents."""
    axis.plot([value] * 2, [place, -0.6], color=theme.ink, linewidth=0.9, linestyle=(0, (4, 3)), alpha=0.6, zorder=1)
    axis.plot([value], [place], "o", color=theme.ink, markersize=6, markerfacecolor=theme.paper)


def _arrow(axis: Axes, theme: Theme, value: float, place: int, right: bool) -> None:
    """What an untrained policy earns, where that is beyond the axis."""
    text, edge, side = (f"{value:.2f} \u25b8", 0.995, "right") if right else (f"\u25c2 {value:.2f}", 0.005, "left")
    across = axis.get_yaxis_transform()  # across the axis from 0 to 1, along its places
    axis.text(edge, place, text, transform=across, ha=side, va="center", fontsize=9, color=theme.ink)


def sweep(
    theme: Theme,
    looks_of: Mapping[str, Look],
    lines: Mapping[str, Mapping[float, Sequence[float]]],
    levels: Mapping[str, Sequence[float]],
    varied: str,
) -> Figure:
    """Returns over what an experiment varies.

    Args:
        theme: colours of the page.
        looks_of: the look of each line and level.
        lines: name -> place -> returns of the training runs; drawn as their mean and their range.
        levels: name -> returns of what does not vary; drawn as a level line at their mean.
        varied: what the places are. They are drawn on a logarithmic axis where they span more than a decade.
    """
    drawn, (axis,) = figure(theme, 1, 1, 7.2, 3.6)
    for name, level in levels.items():
        axis.axhline(float(np.mean(level)), color=looks_of[name].colour, linewidth=1, linestyle=(0, (4, 3)), label=name)
    for name, points in lines.items():
        places, look = sorted(points), looks_of[name]
        runs = [points[place] for place in places]
        style: dict[str, Any] = {"marker": look.marker, "markersize": 6, "linestyle": look.line, "linewidth": 1.6}
        axis.plot(places, [float(np.mean(run)) for run in runs], color=look.colour, label=name, **style)
        axis.fill_between(
            places, list(map(min, runs)), list(map(max, runs)), color=look.colour, alpha=0.18, linewidth=0
        )
    every = sorted({place for points in lines.values() for place in points})
    if every[0] > 0 and every[-1] > 10 * every[0]:
        axis.set_xscale("log")
    axis.set_xticks(every, [f"{place:,g}" for place in every], minor=False)
    axis.set_xticks([], minor=True)
    axis.set_xlabel(varied, fontsize=9)
    axis.set_ylabel("return", fontsize=9)
    legend(drawn, [axis], theme, 4)
    return drawn


def _band(axis: Axes, runs: Sequence[Sequence[tuple[int, float]]], look: Look, label: str) -> None:
    """Mean over runs and their range, at the steps that all runs share."""
    shared = sorted(set.intersection(*(({step for step, _ in run}) for run in runs)))
    tables = [dict(run) for run in runs]
    values = np.array([[table[step] for step in shared] for table in tables])  # [runs, steps]
    # Markers of different agents sit at different steps, so that lines on top of each other can be told apart.
    every = max(1, len(shared) // 6)
    style: dict[str, Any] = {"marker": look.marker, "markersize": 3.5, "markevery": (look.place % every, every)}
    axis.plot(shared, values.mean(0), color=look.colour, linestyle=look.line, linewidth=1.6, label=label, **style)
    if len(runs) > 1:
        axis.fill_between(shared, values.min(0), values.max(0), color=look.colour, alpha=0.18, linewidth=0)


def rank_test(
    theme: Theme,
    agents: Sequence[str],
    curves: Mapping[str, Sequence[Sequence[Mapping[str, Any]]]],
    ideal: Sequence[float],
    ceiling: Sequence[float],
) -> Figure:
    """The rank test's score over training steps, a panel per offset.

    Args:
        theme: colours of the page.
        agents: all agents of the suite, in order: their looks.
        curves: agent -> runs -> points with ``step`` and ``target`` (a score per offset).
        ideal: scores of the behaviour's own values.
        ceiling: scores that can be attained.
    """
    look = looks(theme, agents)
    offsets = len(ceiling)
    columns = min(offsets, 3)
    rows = -(-offsets // columns)
    drawn, axes = figure(theme, columns, rows, 9.0, 0.6 + 2.2 * rows)
    for k, axis in enumerate(axes[:offsets]):
        axis.axhline(ceiling[k], color=theme.ink, linewidth=1, linestyle=(0, (4, 3)), label="attainable")
        axis.axhline(ideal[k], color=theme.ink, linewidth=1, linestyle=":", label="behaviour's values (ideal SARSA)")
        for label, runs in curves.items():
            points = [[(p["step"], p["target"][k]) for p in run] for run in runs]
            _band(axis, points, look[label], label)
        axis.set_ylim(-0.03, 1.05)
        axis.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        name = "end token" if k == 0 else f"letter {offsets - k}"
        axis.set_title(f"offset {k}: {name}", fontsize=10)
        if k % columns == 0:
            axis.set_ylabel("P[Q(expert) > Q(sub.)]", fontsize=9)
        if k + columns >= offsets:  # there is none below it
            axis.set_xlabel("training steps", fontsize=9)
    legend(drawn, axes, theme, 3)
    return drawn


def values(
    theme: Theme,
    agents: Sequence[str],
    curves: Mapping[str, Sequence[Sequence[Mapping[str, Any]]]],
    behaviour: Mapping[str, float],
    optimal: Mapping[str, float],
) -> Figure:
    """V at the start and Q of the two groups' words over training, beside the behaviour's values and the optimal ones.

    Args as in :func:`rank_test`, where points have ``start``, ``better`` and ``worse``, as the two yardsticks do.
    """
    look = looks(theme, agents)
    titles = {
        "start": "V at the start",
        "better": "Q of an expert's first word",
        "worse": "Q of a suboptimal first word",
    }
    drawn, axes = figure(theme, 3, 1, 9.0, 3.0)
    for axis, (key, title) in zip(axes, titles.items(), strict=True):
        axis.axhline(optimal[key], color=theme.ink, linewidth=1, linestyle=(0, (4, 3)), label="optimal play")
        axis.axhline(behaviour[key], color=theme.ink, linewidth=1, linestyle=":", label="behaviour")
        for label, runs in curves.items():
            points = [[(p["step"], p[key]) for p in run] for run in runs]
            _band(axis, points, look[label], label)
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("training steps", fontsize=9)
        axis.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    legend(drawn, axes, theme, 4)
    return drawn


def learning_curves(
    theme: Theme,
    agents: Sequence[str],
    metrics: Mapping[str, Mapping[str, Sequence[Sequence[tuple[int, float]]]]],
) -> Figure:
    """Metrics over training steps, a panel for each: name -> agent -> runs -> (step, value)."""
    columns = min(len(metrics), 3)
    rows = -(-len(metrics) // columns)
    drawn, axes = figure(theme, columns, rows, 9.0 if columns > 1 else 6.0, 0.8 + 2.3 * rows)
    look = looks(theme, agents)
    for k, (axis, (name, by_agent)) in enumerate(zip(axes, metrics.items(), strict=False)):
        for agent, runs in by_agent.items():
            _band(axis, runs, look[agent], agent)
        axis.set_title(name, fontsize=10)
        axis.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        if k + columns >= len(metrics):  # there is none below it
            axis.set_xlabel("training steps", fontsize=9)
    for axis in axes[len(metrics) :]:
        axis.set_visible(False)
    legend(drawn, axes[: len(metrics)], theme, 5)
    return drawn
