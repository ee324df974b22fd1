"""Draws pictures as SVG inside an HTML page, for light and dark, wide and narrow screens."""

from __future__ import annotations

import base64
from typing import NamedTuple

import matplotlib.figure

from agents.benchmark.report import theme
from agents.benchmark.report.pictures import Picture

_REM_PER_INCH = 6.5


class Figure(NamedTuple):
    """The values that the template of a figure needs."""

    name: str
    wide: tuple[str, str]
    """data URLs of the picture for light and for dark pages; they contain the whole picture"""
    narrow: tuple[str, str]
    """the same for phones"""
    width: float
    """largest width of the wide picture, in rem; a narrower screen scales it down"""
    caption: str
    result: str
    """what the picture shows, in words"""


def figure(picture: Picture, of: str = "") -> Figure:
    """Draws the picture; ``of`` is the name of its experiment."""
    wide, narrow = picture.draw(theme.LIGHT), picture.draw(theme.LIGHT.on_a_phone())
    width = round(_REM_PER_INCH * float(wide.get_size_inches()[0]))
    name = f"{of} {picture.name}".strip()
    return Figure(name, _addresses(wide), _addresses(narrow), width, picture.caption, picture.result)


def _addresses(drawn: matplotlib.figure.Figure) -> tuple[str, str]:
    """The data URLs of a light picture and of the same picture in dark colours."""
    light = theme.svg(drawn)
    dark = theme.recoloured(light, theme.LIGHT, theme.DARK)
    one, other = (f"data:image/svg+xml;base64,{base64.b64encode(source).decode()}" for source in (light, dark))
    return one, other
