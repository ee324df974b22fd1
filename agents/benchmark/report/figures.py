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
    wide = [picture.draw(colours) for colours in (theme.LIGHT, theme.DARK)]
    narrow = [picture.draw(colours.on_a_phone()) for colours in (theme.LIGHT, theme.DARK)]
    width = round(_REM_PER_INCH * float(wide[0].get_size_inches()[0]))
    (light, dark), (small_light, small_dark) = map(_address, wide), map(_address, narrow)
    name = f"{of} {picture.name}".strip()
    return Figure(name, (light, dark), (small_light, small_dark), width, picture.caption, picture.result)


def _address(drawn: matplotlib.figure.Figure) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(theme.svg(drawn)).decode()}"
