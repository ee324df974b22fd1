"""Draws lines that coincide a little apart, so that each of them is seen."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import ScaledTranslation

NEAR = 0.006  # share of the axis's span within which lines coincide: less than the width of a line
UP, ASIDE = 1.7, 2.8  # points between neighbours: the width of a line, and most of the width of a marker
ALONE = 4.5  # points between neighbours that are markers without a line
MOST = 6.0  # points between the first and the last, however many coincide


def set_apart(drawn: Figure, axis: Axes, lines: Sequence[Line2D]) -> None:
    """Moves lines that coincide up and aside by a few points.

    Two lines coincide if they share two neighbouring points, or if they have only one common place and share its point.

    Args:
        drawn: the picture.
        axis: the axes, with the final limits of y.
        lines: lines in data coordinates, or horizontal ones across the axes.
    """
    low, high = axis.get_ylim()
    for group in _groups(axis, lines, NEAR * abs(high - low)):
        aside, up = (min(step, MOST / len(group)) / 72 for step in (ASIDE, UP))  # inches
        if all(np.size(line.get_xdata()) == 1 for line in group):
            aside = ALONE / 72
        for place, line in enumerate(group):
            turn = place - (len(group) - 1) / 2
            move = ScaledTranslation(turn * aside, -turn * up, drawn.dpi_scale_trans)
            line.set_transform(line.get_transform() + move)
            line.set_linewidth(min(line.get_linewidth(), 72 * up))


def _groups(axis: Axes, lines: Sequence[Line2D], near: float) -> list[list[Line2D]]:
    """The groups of lines that coincide, directly or through other lines of the group."""
    groups: list[list[Line2D]] = []
    for line in lines:
        joined = [group for group in groups if any(_coincide(axis, line, other, near) for other in group)]
        groups = [group for group in groups if group not in joined]
        groups.append([*(one for group in joined for one in group), line])
    return [sorted(group, key=lines.index) for group in groups if len(group) > 1]


def _coincide(axis: Axes, one: Line2D, other: Line2D, near: float) -> bool:
    first, second = _points(axis, one), _points(axis, other)
    if first is None or second is None:  # a horizontal line has a point at every place
        known = first if second is None else second
        places = [0.0] if known is None else sorted(known)
    else:
        places = sorted(first.keys() & second.keys())
    heights = [(_at(one, first, x), _at(other, second, x)) for x in places]
    same = [abs(a - b) <= near for a, b in heights]
    return same == [True] or any(a and b for a, b in pairwise(same))


def _points(axis: Axes, line: Line2D) -> dict[float, float] | None:
    """The points of a line, x -> y; None for a horizontal line, whose x are not in data coordinates."""
    if line.get_transform() is not axis.transData:
        return None
    return {float(x): float(y) for x, y in np.asarray(line.get_xydata())}


def _at(line: Line2D, points: dict[float, float] | None, place: float) -> float:
    return float(np.asarray(line.get_ydata())[0]) if points is None else points[place]
