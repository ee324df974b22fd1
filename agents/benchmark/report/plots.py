"""Draws a line of scores for each agent: its training runs, their mean and its interval; and untrained policies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from textwrap import fill
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import ScaledTranslation

from agents.benchmark.report.theme import Look, Theme, figure, looks, shortened
from agents.evaluation import stats

_NAME, _HALF_A_NAME = 50, 36  # most letters of a name above its line, and of each of two lines of a name beside it


class Score(NamedTuple):
    """One line of scores: small dots, a large marker and an interval."""

    dots: Sequence[float]
    centre: float
    interval: stats.Interval
    hollow: bool = False
    """whether its marks are drawn without a filling"""


def of_runs(runs: Sequence[float], hollow: bool = False) -> Score:
    """The line of some training runs, with their mean and its 95 % interval."""
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
    """One line per agent, and below them one per policy that is not trained.

    The x-axis spans the agents' scores, so that their differences are seen. The mark of a policy far from them is an
    arrow at the edge, with its score. Dots with equal scores are drawn above each other, and vertical lines of policies
    with equal scores side by side.

    Args:
        theme: colours of the page.
        agents: all agents of the suite, in order, which determines their looks.
        lines: agent -> its line.
        marks: untrained policy -> its score; a vertical line goes from its mark up through all agents.
        quantity: what the scores are.
        below: agent -> a second line, drawn a little lower; for example of sampled play.
    """
    below = below or {}
    best_first = sorted(marks.items(), key=lambda item: -item[1])
    names = [*lines, *(label for label, _ in best_first)]
    row = (0.42 if below else 0.3) + (0.18 if theme.narrow else 0.0)  # inches
    drawn, (axis,) = figure(theme, 1, 0.7 + row * len(names), 7.2)
    look = looks(theme, agents)
    low, high = _span([*lines.values(), *below.values()], list(marks.values()))
    if high > low:
        axis.set_xlim(low - 0.04 * (high - low), high + 0.04 * (high - low))
    down = 0.15 if theme.narrow else 0.0  # of a row: room for the name
    for place, (label, score) in enumerate(lines.items()):
        apart = 0.2 if label in below else 0.0
        _draw_score(drawn, axis, theme, look[label], score, place + down - apart)
        if label in below:
            _draw_score(drawn, axis, theme, look[label], below[label], place + down + apart)
    near: list[float] = []
    for place, (_, value) in enumerate(best_first, len(lines)):
        if low <= value <= high:
            near.append(value)
            _mark(drawn, axis, theme, value, place + down, _turn(near, len(near) - 1, 0.004 * (high - low)))
        else:
            _arrow(axis, theme, value, place + down, right=value > high)
    axis.set_ylim(len(names) - 0.4, -0.6)
    axis.xaxis.set_major_locator(MaxNLocator(5 if theme.narrow else 8))
    axis.set_xlabel(quantity, fontsize=9)
    _name(axis, theme, names, len(lines), down)
    return drawn


def _name(axis: Axes, theme: Theme, names: Sequence[str], trained: int, down: float) -> None:
    """Writes names beside their lines, or above them on a narrow page; names of untrained policies are italic."""
    axis.set_yticks([place + down for place in range(len(names))], [""] * len(names))
    if not theme.narrow:
        axis.set_yticks(
            range(len(names)), [fill(shortened(name, 2 * _HALF_A_NAME - 6), _HALF_A_NAME) for name in names]
        )
        for tick in axis.get_yticklabels()[trained:]:
            tick.set_fontstyle("italic")
        return
    axis.tick_params(axis="y", length=0)
    paper = {"facecolor": theme.paper, "edgecolor": "none", "pad": 0.6}
    for place, name in enumerate(names):
        text = axis.text(0.01, place - 0.46, shortened(name, _NAME), va="top", fontsize=9, color=theme.ink, bbox=paper)
        text.set_transform(axis.get_yaxis_transform())
        text.set_fontstyle("normal" if place < trained else "italic")


def _draw_score(drawn: Figure, axis: Axes, theme: Theme, look: Look, score: Score, place: float) -> None:
    """Draws the dots, the interval and the marker of one line."""
    if not np.isnan(score.interval.low):
        width = 1.3 if score.hollow else 2.5
        axis.plot(score.interval, [place] * 2, color=look.colour, linewidth=width, solid_capstyle="round")
    empty = {"markerfacecolor": theme.paper, "markeredgecolor": look.colour}
    style: dict[str, Any] = empty if score.hollow else {"markeredgecolor": theme.paper}
    low, high = axis.get_xlim()
    for place_among, dot in enumerate(score.dots):
        turn = _turn(score.dots, place_among, 0.004 * (high - low))
        up = turn // 2 * (3.2 if turn % 2 else -3.2)  # points, above and below in turn
        [line] = axis.plot([dot], [place], "o", color=look.colour, markersize=4, markeredgewidth=0.7, **style)
        line.set_transform(axis.transData + ScaledTranslation(0, up / 72, drawn.dpi_scale_trans))
    axis.plot([score.centre], [place], look.marker, color=look.colour, markersize=8, markeredgewidth=1.3, **style)


def _turn(values: Sequence[float], place: int, near: float) -> int:
    """1 plus the number of values before ``place`` that differ from the value there by at most ``near``."""
    return 1 + sum(abs(value - values[place]) <= near for value in values[:place])


def _span(lines: Iterable[Score], marks: Sequence[float]) -> tuple[float, float]:
    """The ends of the x-axis: it spans the agents, and the marks whose distance to them is at most the agents' span.

    The axis is at least a tenth as long as the span of all agents and marks, so that noise does not look large.
    """
    reached = [x for line in lines for x in (*line.dots, line.centre, *line.interval) if not np.isnan(x)]
    low, high = min(reached), max(reached)
    apart = max(high - low, 0.1 * (max(*reached, *marks) - min(*reached, *marks)))
    near = [x for x in marks if low - apart <= x <= high + apart]
    low, high = min([low, *near]), max([high, *near])
    missing = max(0.0, apart - (high - low))
    return low - missing / 2, high + missing / 2


def _mark(drawn: Figure, axis: Axes, theme: Theme, value: float, place: float, turn: int) -> None:
    """Draws the score of an untrained policy, with a line up through the agents; ``turn`` moves equal ones aside."""
    style: dict[str, Any] = {"linewidth": 0.9, "linestyle": (0, (4, 3)), "alpha": 0.6, "zorder": 1}
    [line] = axis.plot([value] * 2, [place, -0.6], color=theme.ink, **style)
    aside = turn // 2 * (2.2 if turn % 2 else -2.2)  # points, to the right and to the left in turn
    line.set_transform(axis.transData + ScaledTranslation(aside / 72, 0, drawn.dpi_scale_trans))
    axis.plot([value], [place], "o", color=theme.ink, markersize=6, markerfacecolor=theme.paper)


def _arrow(axis: Axes, theme: Theme, value: float, place: float, right: bool) -> None:
    """Draws an arrow with the score of an untrained policy outside the axis."""
    text, edge, side = (f"{value:.2f} \u25b8", 0.995, "right") if right else (f"\u25c2 {value:.2f}", 0.005, "left")
    across = axis.get_yaxis_transform()  # x from 0 to 1 across the axes, y in data coordinates
    axis.text(edge, place, text, transform=across, ha=side, va="center", fontsize=9, color=theme.ink)
