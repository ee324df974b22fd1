"""Text of others inside a page of Markdown: shown as it is, never read as Markdown or HTML."""

from __future__ import annotations

import re

from lang_envs.printable import printable

_ANYWHERE = re.compile(r"[\\`|$*]|(?<![^\W_])_|_(?![^\W_])")  # code, cells, formulas, emphasis
_BRACKETS = re.compile(r"(\[-?[\d.]+, -?[\d.]+\](?![\[(:]))|[\[\]]")  # links; intervals of numbers are none and stay
_FIRST = re.compile(r"^(\d*)(?=[.)])|^()(?=[+=~>-])|(?<!\S)()(?=#)")  # lists, quotes, headings


def text(value: str) -> str:
    """A line of text, on which nothing is a heading, a list, a link, a formula, a cell or a tag."""
    line = _ANYWHERE.sub(r"\\\g<0>", printable(value.strip()))
    line = _BRACKETS.sub(lambda found: found[1] or f"\\{found[0]}", line)
    line = _FIRST.sub(r"\1\\", line)
    return line.replace("&", "&amp;").replace("<", "&lt;")


def code(value: str) -> str:
    """A span of code, between as many backticks as it needs."""
    inside = printable(value)
    fence = "`" * (1 + _longest_run(inside))
    return f"{fence} {inside} {fence}" if len(fence) > 1 or not inside.strip() else f"{fence}{inside}{fence}"


def block(value: str) -> str:
    """A block of preformatted lines."""
    inside = printable(value, keep="\n")
    fence = "`" * max(3, 1 + _longest_run(inside))
    return f"{fence}text\n{inside}\n{fence}"


def _longest_run(inside: str) -> int:
    return max(map(len, re.findall("`+", inside)), default=0)
