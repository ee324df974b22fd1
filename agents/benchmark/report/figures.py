"""Pictures inside a page: as SVG for light and for dark, without any file beside it."""

from __future__ import annotations

import base64
from typing import NamedTuple

from agents.benchmark.report import theme
from agents.benchmark.report.pictures import Picture

_REM_PER_INCH = 6.5


class Figure(NamedTuple):
    """What the template of a figure takes."""

    name: str
    light: str
    """address of the picture, which holds all of it"""
    dark: str
    width: float
    """at most, in rem; a narrow screen scales it down"""
    caption: str


def figure(picture: Picture, of: str = "") -> Figure:
    """The picture drawn; ``of`` names the experiment that it is of."""
    drawn = [picture.draw(colours) for colours in (theme.LIGHT, theme.DARK)]
    light, dark = (f"data:image/svg+xml;base64,{base64.b64encode(theme.svg(one)).decode()}" for one in drawn)
    width = round(_REM_PER_INCH * float(drawn[0].get_size_inches()[0]))
    return Figure(f"{of} {picture.name}".strip(), light, dark, width, picture.caption)
