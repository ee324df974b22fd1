"""What all pictures share: colours of light and dark pages, a look for every agent, empty axes, PNG and SVG.

The colours are Okabe and Ito's, which colour-blind readers can tell apart. On the light page they are darkened to a
contrast of at least 3 to 1 with it. Neighbouring agents also have different markers. If there are more agents than
colours, the colours are used again with another line style.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.text import Text

WIDE, NARROW = 9.0, 3.6  # widths in inches; letters of narrow pictures have the same size on a phone
SIDE_BY_SIDE = 3  # most panels in a row
_LETTER, _LINE, _HANDLE = 0.078, 0.185, 0.75  # inches: width of a letter, height of a line, width of a legend's sample


@dataclass(frozen=True)
class Theme:
    """Colours of a page, and whether it is narrow."""

    name: str
    paper: str
    ink: str
    faint: str
    series: tuple[str, ...]
    narrow: bool = False
    """whether pictures are for a phone: panels are below each other, and names above their lines"""

    def on_a_phone(self) -> Theme:
        """The same colours for narrow pictures."""
        return replace(self, narrow=True)


LIGHT = Theme(
    "light",
    "#ffffff",
    "#1b1f24",
    "#c9ced6",
    ("#0072B2", "#D55E00", "#008F68", "#C76B9C", "#B07A00", "#3A95CC", "#6b6b6b"),
)
DARK = Theme(
    "dark",
    "#15181d",
    "#e6e8eb",
    "#454b55",
    ("#56B4E9", "#F0824A", "#2FC79A", "#E39BC4", "#E69F00", "#F0E442", "#b0b0b0"),
)

MARKERS = ("D", "s", "^", "X", "v", "P", "p", "d")
"""markers of agents in order; one more than colours, so that a repeated colour has another marker"""
LINES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (6, 1, 1, 1)))
"""line styles; the first is for the first agents, as many as there are colours, the next for as many more"""
MOST_LOOKS = len(LIGHT.series) * len(LINES)


@dataclass(frozen=True)
class Look:
    """How an agent is drawn."""

    colour: str
    marker: str
    line: Any
    """matplotlib's line style"""
    place: int
    """the agent's place among all agents"""


def looks(theme: Theme, agents: Sequence[str]) -> dict[str, Look]:
    """A look for each agent, which depends only on its place in ``agents``."""
    colours = len(theme.series)
    return {
        agent: Look(
            theme.series[place % colours], MARKERS[place % len(MARKERS)], LINES[place // colours % len(LINES)], place
        )
        for place, agent in enumerate(agents)
    }


def columns(theme: Theme, panels: int) -> int:
    """The number of panels in a row."""
    return 1 if theme.narrow else min(panels, SIDE_BY_SIDE)


def figure(theme: Theme, panels: int, height: float, width: float = WIDE) -> tuple[Figure, list[Axes]]:
    """Empty axes in the theme's colours, without a display and without pyplot's global state.

    Args:
        theme: colours, and whether the panels are below each other.
        panels: number of axes.
        height: height of a panel in inches, with its title and its axis labels.
        width: width of the whole picture in inches, unless the page is narrow.
    """
    across = columns(theme, panels)
    rows = -(-panels // across)
    size = (NARROW if theme.narrow else width, height * rows)
    drawn = Figure(figsize=size, facecolor=theme.paper, layout=ConstrainedLayoutEngine(h_pad=0.06))
    every = list(np.atleast_1d(drawn.subplots(rows, across)).ravel())
    for axis in every[panels:]:
        axis.set_visible(False)
    for axis in every[:panels]:
        axis.set_facecolor(theme.paper)
        axis.tick_params(colors=theme.ink, labelsize=9)
        axis.grid(color=theme.faint, linewidth=0.6, alpha=0.6)
        axis.set_axisbelow(True)
        for side, spine in axis.spines.items():
            spine.set_visible(side in ("left", "bottom"))
            spine.set_color(theme.faint)
        for text in (axis.xaxis.label, axis.yaxis.label, axis.title):
            text.set_color(theme.ink)
    return drawn, every[:panels]


def legend(drawn: Figure, axes: Sequence[Axes], theme: Theme) -> None:
    """Draws a legend of all labels in the axes below them, each label once; the picture becomes taller by it."""
    named: dict[str, Any] = {}
    for axis in axes:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            named.setdefault(label, handle)
    if not named:
        return
    width, height = drawn.get_size_inches()
    shown = [shortened(label, int((width - _HANDLE) / _LETTER)) for label in named]
    across = min(len(shown), max(1, int(width / (_HANDLE + _LETTER * max(map(len, shown))))))
    drawn.set_size_inches(width, height + 0.1 + _LINE * -(-len(shown) // across))
    box = drawn.legend(
        named.values(),
        shown,
        loc="outside lower center",
        ncols=across,
        frameon=False,
        fontsize=9,
        handlelength=3,
    )
    for text in box.get_texts():
        text.set_color(theme.ink)


def shortened(name: str, most: int) -> str:
    """A name in one line of at most ``most`` letters; the middle is cut, because names often differ at the end."""
    name = " ".join(name.split())
    if len(name) <= most:
        return name
    kept = max(most - 1, 2)
    return f"{name[: kept - kept // 2]}…{name[-(kept // 2) :]}"


def _as_written(drawn: Figure) -> None:
    """Makes matplotlib draw a dollar sign as it is, and not as the beginning of a formula.

    For texts that are made only when the picture is drawn, the setting ``text.parse_math`` does the same.
    """
    for text in drawn.findobj(Text):
        text.set_parse_math(False)


def png(drawn: Figure, dpi: int = 150) -> bytes:
    """The picture as PNG, without the software's version, so that equal pictures are equal files."""
    buffer = io.BytesIO()
    _as_written(drawn)
    with mpl.rc_context({"savefig.facecolor": "auto", "text.parse_math": False}):
        drawn.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


def svg(drawn: Figure) -> bytes:
    """The picture as SVG, with text as outlines, so that it looks the same without the fonts."""
    buffer = io.BytesIO()
    _as_written(drawn)
    with mpl.rc_context({"svg.fonttype": "path", "svg.hashsalt": "lang-envs", "text.parse_math": False}):
        drawn.savefig(buffer, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    return _compact(buffer.getvalue().decode()).encode()


_LEFT_OUT = re.compile(r'<!DOCTYPE.*?>|<!--.*?-->|<metadata>.*?</metadata>| id="[A-Za-z0-9.]+_\d+"', re.DOTALL)
_EXACT = re.compile(r"-?\d+\.\d{3,}")
_BLANK = re.compile(r'(?<=>) (?=<)|(?<=") (?=/)| (?=")|(?<=\d) (?=[MLQCz])|(?<=[MLQC]) (?=[-\d])')


def _compact(source: str) -> str:
    """The same picture in about half the size: without unused ids, and with coordinates in hundredths of a point."""
    source = _EXACT.sub(_rounded, _LEFT_OUT.sub("", source))
    return _BLANK.sub("", re.sub(r"\s+", " ", source))


def _rounded(number: re.Match[str]) -> str:
    value = float(number[0])
    return f"{value:.4f}" if abs(value) < 0.1 else f"{value:.2f}".rstrip("0").rstrip(".")


def recoloured(source: bytes, one: Theme, other: Theme) -> bytes:
    """The SVG ``source`` of a picture in theme ``one``, with the colours of theme ``other``."""
    names = zip(_colours(one), _colours(other), strict=True)
    new = {before.encode(): after.encode() for before, after in names}
    return re.sub(rb"(?<=: )#[0-9a-f]{6}", lambda found: new.get(found[0], found[0]), source)


def _colours(theme: Theme) -> list[str]:
    return [colour.lower() for colour in (theme.paper, theme.ink, theme.faint, *theme.series)]
