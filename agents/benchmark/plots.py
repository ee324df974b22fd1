"""The benchmark's pictures: scores with intervals, the rank test and the values over training, learning curves.

Colours are Okabe and Ito's, which colour-blind readers can tell apart; every agent keeps its colour in every picture.
Each picture is drawn once for a light page and once for a dark one.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from agents import stats


@dataclass(frozen=True)
class Theme:
    """Colours of a page."""

    name: str
    paper: str
    ink: str
    faint: str
    series: tuple[str, ...]


LIGHT = Theme(
    "light",
    "#ffffff",
    "#1b1f24",
    "#c9ced6",
    ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#6b6b6b"),
)
DARK = Theme(
    "dark",
    "#15181d",
    "#e6e8eb",
    "#454b55",
    ("#56B4E9", "#F0824A", "#2FC79A", "#E39BC4", "#E69F00", "#9AD4F5", "#b0b0b0"),
)


def _colours(theme: Theme, agents: Sequence[str]) -> dict[str, str]:
    """One colour for each agent of an experiment, the same in all of its pictures."""
    return {agent: theme.series[place % len(theme.series)] for place, agent in enumerate(agents)}


def _figure(theme: Theme, columns: int, rows: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """Empty axes in the theme's colours, without a display and without pyplot's global state."""
    figure = Figure(figsize=(width, height), facecolor=theme.paper, layout="constrained")
    axes = list(np.atleast_1d(figure.subplots(rows, columns)).ravel())
    for axis in axes:
        axis.set_facecolor(theme.paper)
        axis.tick_params(colors=theme.ink, labelsize=9)
        axis.grid(color=theme.faint, linewidth=0.6, alpha=0.6)
        axis.set_axisbelow(True)
        for side, spine in axis.spines.items():
            spine.set_visible(side in ("left", "bottom"))
            spine.set_color(theme.faint)
        for text in (axis.xaxis.label, axis.yaxis.label, axis.title):
            text.set_color(theme.ink)
    return figure, axes


def _legend(figure: Figure, axis: Axes, theme: Theme, columns: int) -> None:
    handles, labels = axis.get_legend_handles_labels()
    legend = figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False, fontsize=9)
    for text in legend.get_texts():
        text.set_color(theme.ink)


def scores(
    theme: Theme, agents: Sequence[str], returns: Mapping[str, Sequence[float]], marks: Mapping[str, float]
) -> Figure:
    """One line per agent: its runs as small dots, their mean and 95 % interval; the baselines as vertical lines."""
    figure, (axis,) = _figure(theme, 1, 1, 7.2, 1.3 + 0.42 * len(returns))
    rng = np.random.default_rng(0)
    colours = _colours(theme, agents)
    for place, (label, runs) in enumerate(returns.items()):
        colour = colours[label]
        summary = stats.summarise(runs, rng)
        axis.plot(runs, [place] * len(runs), "o", color=colour, alpha=0.45, markersize=4)
        if summary.runs > 1:
            axis.plot(summary.interval, [place] * 2, color=colour, linewidth=2.5, solid_capstyle="round")
        axis.plot([summary.mean], [place], "D", color=colour, markersize=8, markeredgecolor=theme.paper)
    axis.set_yticks(range(len(returns)), list(returns))
    axis.invert_yaxis()
    axis.set_ylim(len(returns) - 0.5, -0.6)
    top = axis.get_xaxis_transform()
    for height, (label, value) in enumerate(sorted(marks.items(), key=lambda item: item[1])):
        axis.axvline(value, color=theme.ink, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
        # Labels alternate between two lines above the axes, so that close baselines stay readable.
        axis.text(value, 1.02 + 0.09 * (height % 2), label, transform=top, ha="center", fontsize=8, color=theme.ink)
    axis.set_xlabel("return")
    return figure


def _band(axis: Axes, runs: Sequence[Sequence[tuple[int, float]]], colour: str, label: str) -> None:
    """Mean over runs and their range, at the steps that all runs share."""
    shared = sorted(set.intersection(*(({step for step, _ in run}) for run in runs)))
    tables = [dict(run) for run in runs]
    values = np.array([[table[step] for step in shared] for table in tables])  # [runs, steps]
    axis.plot(shared, values.mean(0), color=colour, linewidth=1.8, label=label)
    if len(runs) > 1:
        axis.fill_between(shared, values.min(0), values.max(0), color=colour, alpha=0.18, linewidth=0)


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
        agents: all agents of the experiment, in order: their colours.
        curves: agent -> runs -> points with ``step`` and ``target`` (a score per offset).
        ideal: scores of the behaviour's own values.
        ceiling: scores that can be attained.
    """
    colours = _colours(theme, agents)
    offsets = len(ceiling)
    columns = min(offsets, 3)
    rows = -(-offsets // columns)
    figure, axes = _figure(theme, columns, rows, 9.0, 0.6 + 2.2 * rows)
    for k, axis in enumerate(axes[:offsets]):
        axis.axhline(ceiling[k], color=theme.ink, linewidth=1, linestyle=(0, (4, 3)), label="attainable")
        axis.axhline(ideal[k], color=theme.ink, linewidth=1, linestyle=":", label="behaviour's values (ideal SARSA)")
        for label, runs in curves.items():
            points = [[(p["step"], p["target"][k]) for p in run] for run in runs]
            _band(axis, points, colours[label], label)
        axis.set_ylim(-0.03, 1.05)
        axis.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        name = "end token" if k == 0 else f"letter {offsets - k}"
        axis.set_title(f"offset {k}: {name}", fontsize=10)
        if k % columns == 0:
            axis.set_ylabel("P[Q(expert) > Q(sub.)]", fontsize=9)
    _legend(figure, axes[0], theme, 3)
    return figure


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
    colours = _colours(theme, agents)
    titles = {
        "start": "V at the start",
        "better": "Q of an expert's first word",
        "worse": "Q of a suboptimal first word",
    }
    figure, axes = _figure(theme, 3, 1, 9.0, 3.0)
    for axis, (key, title) in zip(axes, titles.items(), strict=True):
        axis.axhline(optimal[key], color=theme.ink, linewidth=1, linestyle=(0, (4, 3)), label="optimal play")
        axis.axhline(behaviour[key], color=theme.ink, linewidth=1, linestyle=":", label="behaviour")
        for label, runs in curves.items():
            points = [[(p["step"], p[key]) for p in run] for run in runs]
            _band(axis, points, colours[label], label)
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("training steps", fontsize=9)
        axis.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    _legend(figure, axes[0], theme, 4)
    return figure


def learning_curves(
    theme: Theme,
    agents: Sequence[str],
    metrics: Mapping[str, Mapping[str, Sequence[Sequence[tuple[int, float]]]]],
) -> Figure:
    """Training metrics: name -> agent -> runs -> (step, value)."""
    columns = min(len(metrics), 3)
    rows = -(-len(metrics) // columns)
    figure, axes = _figure(theme, columns, rows, 9.0 if columns > 1 else 6.0, 0.8 + 2.3 * rows)
    colours = _colours(theme, agents)
    for axis, (name, by_agent) in zip(axes, metrics.items(), strict=False):
        for agent, runs in by_agent.items():
            _band(axis, runs, colours[agent], agent)
        axis.set_title(name, fontsize=10)
        axis.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    for axis in axes[len(metrics) :]:
        axis.set_visible(False)
    widest = max(axes[: len(metrics)], key=lambda axis: len(axis.get_lines()))
    _legend(figure, widest, theme, 5)
    return figure


def png(figure: Figure, dpi: int = 150) -> bytes:
    """The picture as PNG, without the date and version that would make two equal pictures differ."""
    buffer = io.BytesIO()
    with mpl.rc_context({"savefig.facecolor": "auto"}):
        figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


def svg(figure: Figure) -> bytes:
    """The picture as SVG with its text as outlines: it looks the same where no font is installed."""
    buffer = io.BytesIO()
    with mpl.rc_context({"svg.fonttype": "path", "svg.hashsalt": "lang-envs"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()
