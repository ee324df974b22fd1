"""What all pictures share: the colours of light and dark pages, a look for every agent, empty axes, files.

Colours are Okabe and Ito's, which colour-blind readers can tell apart. Where there are more agents than colours the
colours come again with another marker and another kind of line.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text


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
    ("#56B4E9", "#F0824A", "#2FC79A", "#E39BC4", "#E69F00", "#F0E442", "#b0b0b0"),
)

KINDS: tuple[tuple[str, Any], ...] = (
    ("D", "-"),
    ("s", (0, (5, 1.5))),
    ("^", (0, (1.2, 1.2))),
    ("X", (0, (6, 1, 1, 1))),
)
"""marker and line of the first agents, of those after them, and so on"""
MOST_LOOKS = len(LIGHT.series) * len(KINDS)


@dataclass(frozen=True)
class Look:
    """How an agent is drawn."""

    colour: str
    marker: str
    line: Any
    """matplotlib's line style"""
    place: int
    """among all agents"""


def looks(theme: Theme, agents: Sequence[str]) -> dict[str, Look]:
    """A look for each agent, the same wherever the same agents are passed in the same order."""
    colours = len(theme.series)
    return {
        agent: Look(theme.series[place % colours], *KINDS[place // colours % len(KINDS)], place)
        for place, agent in enumerate(agents)
    }


def figure(theme: Theme, columns: int, rows: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """Empty axes in the theme's colours, without a display and without pyplot's global state."""
    drawn = Figure(figsize=(width, height), facecolor=theme.paper, layout="constrained")
    axes = list(np.atleast_1d(drawn.subplots(rows, columns)).ravel())
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
    return drawn, axes


def legend(drawn: Figure, axes: Sequence[Axes], theme: Theme, columns: int) -> None:
    """Everything that is labelled in any of the axes, once, below them."""
    named: dict[str, Any] = {}
    for axis in axes:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            named.setdefault(label, handle)
    box = drawn.legend(
        named.values(),
        named.keys(),
        loc="outside lower center",
        ncols=columns,
        frameon=False,
        fontsize=9,
        handlelength=3,
    )
    for text in box.get_texts():
        text.set_color(theme.ink)


def _as_written(drawn: Figure) -> None:
    """A dollar sign in a name is a dollar sign: no text of a picture is a formula.

    Texts that are made when the picture is drawn are told so by ``text.parse_math``.
    """
    for text in drawn.findobj(Text):
        text.set_parse_math(False)


def png(drawn: Figure, dpi: int = 150) -> bytes:
    """The picture as PNG, without the date and version that would make two equal pictures differ."""
    buffer = io.BytesIO()
    _as_written(drawn)
    with mpl.rc_context({"savefig.facecolor": "auto", "text.parse_math": False}):
        drawn.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


def svg(drawn: Figure) -> bytes:
    """The picture as SVG with its text as outlines: it looks the same where no font is installed."""
    buffer = io.BytesIO()
    _as_written(drawn)
    with mpl.rc_context({"svg.fonttype": "path", "svg.hashsalt": "lang-envs", "text.parse_math": False}):
        drawn.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()
