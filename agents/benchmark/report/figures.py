"""Pictures inside a page, as SVG: for light and dark, wide and narrow screens, without any file beside it."""

from __future__ import annotations

import base64
from typing import NamedTuple

import matplotlib.figure

from agents.benchmark.report import theme
from agents.benchmark.report.pictures import Picture

_REM_PER_INCH = 6.5


class Figure(NamedTuple):
    """What the template of a figure takes."""

    name: str
    wide: tuple[str, str]
    """addresses of the picture on light and on dark pages; an address holds all of it"""
    narrow: tuple[str, str]
    """the same for phones"""
    width: float
    """of the wide one at most, in rem; a narrower screen scales it down"""
    caption: str
    result: str
    """what it shows, in words"""


def figure(picture: Picture, of: str = "") -> Figure:
    """The picture drawn; ``of`` names the experiment that it is of."""
    wide, narrow = picture.draw(theme.LIGHT), picture.draw(theme.LIGHT.on_a_phone())
    width = round(_REM_PER_INCH * float(wide.get_size_inches()[0]))
    name = f"{of} {picture.name}".strip()
    return Figure(name, _addresses(wide), _addresses(narrow), width, picture.caption, picture.result)


def _addresses(drawn: matplotlib.figure.Figure) -> tuple[str, str]:
    """Of a light picture, and of the same in dark."""
    light = theme.svg(drawn)
    dark = theme.recoloured(light, theme.LIGHT, theme.DARK)
    one, other = (f"data:image/svg+xml;base64,{base64.b64encode(source).decode()}" for source in (light, dark))
    return one, other
