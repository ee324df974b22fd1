"""Draws curves: returns over what an experiment varies; the rank test, values and metrics over training steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from agents.benchmark.report.coinciding import set_apart
from agents.benchmark.report.names import name_of
from agents.benchmark.report.theme import Look, Theme, columns, figure, legend, looks

Runs = Sequence[Sequence[tuple[int, float]]]
"""(step, value) of each training run"""
VALUES = {key: name_of(f"rank/{key}") for key in ("start", "better", "worse")}
"""measurements of values -> the titles of their panels"""
_DASHED, _DOTTED = (0, (4, 3)), (0, (1, 2))


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
        lines: name -> x -> returns of the training runs; drawn as their mean and their range.
        levels: name -> returns of agents that do not vary; drawn as a horizontal line at their mean.
        varied: the title of the x-axis. The axis is logarithmic if the places span more than a factor of 10.
    """
    drawn, (axis,) = figure(theme, 1, 3.0, 7.2)
    shown = [
        axis.axhline(float(np.mean(level)), color=looks_of[name].colour, linewidth=1.3, linestyle=_DASHED, label=name)
        for name, level in levels.items()
    ]
    for name, points in lines.items():
        places, look = sorted(points), looks_of[name]
        runs = [points[place] for place in places]
        style: dict[str, Any] = {"marker": look.marker, "markersize": 6, "linestyle": look.line, "linewidth": 1.6}
        shown += axis.plot(places, [float(np.mean(run)) for run in runs], color=look.colour, label=name, **style)
        axis.fill_between(
            places, list(map(min, runs)), list(map(max, runs)), color=look.colour, alpha=0.18, linewidth=0
        )
    every = sorted({place for points in lines.values() for place in points})
    if logarithmic := every[0] > 0 and every[-1] > 10 * every[0]:
        axis.set_xscale("log")
    room = drawn.get_size_inches()[0] - 0.9
    axis.set_xticks(every, _apart(every, logarithmic, room), minor=False)
    axis.set_xticks([], minor=True)
    axis.set_xlabel(varied, fontsize=9)
    axis.set_ylabel("return", fontsize=9)
    set_apart(drawn, axis, shown)
    legend(drawn, [axis], theme)
    return drawn


def _apart(places: Sequence[float], logarithmic: bool, room: float) -> list[str]:
    """Labels of places on an axis of ``room`` inches; a label that would overlap the one before it is empty."""
    at = np.log(places) if logarithmic else np.asarray(places)  # [places]
    inches = room * (at - at[0]) / max(float(at[-1] - at[0]), 1e-9)
    labels, free = [], -np.inf
    for place, middle in zip(places, inches, strict=True):
        label = f"{place:,g}"
        half = 0.04 * len(label) + 0.04
        fits = middle - half >= free
        labels.append(label if fits else "")
        free = middle + half if fits else free
    return labels


def _band(axis: Axes, runs: Runs, look: Look, label: str) -> Line2D:
    """Draws the mean over runs and their range, at the steps that all runs share."""
    shared = sorted(set.intersection(*(({step for step, _ in run}) for run in runs)))
    tables = [dict(run) for run in runs]
    values = np.array([[table[step] for step in shared] for table in tables])  # [runs, steps]
    # Markers of different agents sit at different steps, so that lines close to each other can be told apart.
    every = max(1, len(shared) // 6)
    style: dict[str, Any] = {"marker": look.marker, "markersize": 4, "markevery": (look.place % every, every)}
    [line] = axis.plot(shared, values.mean(0), color=look.colour, linestyle=look.line, linewidth=1.6, **style)
    line.set_label(label)
    if len(runs) > 1:
        axis.fill_between(shared, values.min(0), values.max(0), color=look.colour, alpha=0.18, linewidth=0)
    return line


def _level(axis: Axes, theme: Theme, height: float, style: Any, label: str) -> Line2D:
    """Draws a broken horizontal line above all others, which can be seen through its gaps."""
    return axis.axhline(height, color=theme.ink, linewidth=1.1, linestyle=style, label=label, zorder=3)


def _steps_below(axes: Sequence[Axes], theme: Theme) -> None:
    """Sets a few whole numbers of steps on every x-axis, and a title below the last panel of each column."""
    for k, axis in enumerate(axes):
        axis.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        if k + columns(theme, len(axes)) >= len(axes):
            axis.set_xlabel("training steps", fontsize=9)


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
        agents: all agents of the suite, in order, which determines their looks.
        curves: agent -> runs -> points with ``step`` and ``target`` (a score per offset).
        ideal: the score of the behaviour's own values at each offset.
        ceiling: the highest score that any values can reach at each offset.
    """
    look = looks(theme, agents)
    offsets = len(ceiling)
    drawn, axes = figure(theme, offsets, 2.1)
    for k, axis in enumerate(axes):
        shown = [
            _level(axis, theme, ceiling[k], _DASHED, "attainable"),
            _level(axis, theme, ideal[k], _DOTTED, "behaviour's values (ideal SARSA)"),
        ]
        for label, runs in curves.items():
            points = [[(p["step"], p["target"][k]) for p in run] for run in runs]
            shown.append(_band(axis, points, look[label], label))
        axis.set_ylim(-0.05, 1.07)
        name = "end token" if k == 0 else f"letter {offsets - k}"
        axis.set_title(f"offset {k}: {name}", fontsize=10)
        if k % columns(theme, offsets) == 0:
            axis.set_ylabel("P[Q(expert) > Q(sub.)]", fontsize=9)
        set_apart(drawn, axis, shown)
    _steps_below(axes, theme)
    legend(drawn, axes, theme)
    return drawn


def values(
    theme: Theme,
    agents: Sequence[str],
    curves: Mapping[str, Sequence[Sequence[Mapping[str, Any]]]],
    behaviour: Mapping[str, float],
    optimal: Mapping[str, float],
) -> Figure:
    """V at the start and Q of the two groups' words over training steps.

    Args:
        theme: colours of the page.
        agents: all agents of the suite, in order, which determines their looks.
        curves: agent -> runs -> points with ``step``, ``start``, ``better`` and ``worse``.
        behaviour: the behaviour's ``start``, ``better`` and ``worse``, drawn as horizontal lines.
        optimal: the same of optimal play.
    """
    look = looks(theme, agents)
    drawn, axes = figure(theme, len(VALUES), 2.4)
    for axis, (key, name) in zip(axes, VALUES.items(), strict=True):
        shown = [
            _level(axis, theme, optimal[key], _DASHED, "optimal play"),
            _level(axis, theme, behaviour[key], _DOTTED, "behaviour"),
        ]
        for label, runs in curves.items():
            points = [[(p["step"], p[key]) for p in run] for run in runs]
            shown.append(_band(axis, points, look[label], label))
        axis.set_title(name, fontsize=10)
        set_apart(drawn, axis, shown)
    _steps_below(axes, theme)
    legend(drawn, axes, theme)
    return drawn


def learning_curves(theme: Theme, agents: Sequence[str], metrics: Mapping[str, Mapping[str, Runs]]) -> Figure:
    """Metrics over training steps, a panel for each: name -> agent -> runs -> (step, value)."""
    drawn, axes = figure(theme, len(metrics), 2.2, 6.0 if len(metrics) == 1 else 9.0)
    look = looks(theme, agents)
    for axis, (name, by_agent) in zip(axes, metrics.items(), strict=True):
        shown = [_band(axis, runs, look[agent], agent) for agent, runs in by_agent.items()]
        axis.set_title(name_of(name), fontsize=10)
        set_apart(drawn, axis, shown)
    _steps_below(axes, theme)
    legend(drawn, axes, theme)
    return drawn
