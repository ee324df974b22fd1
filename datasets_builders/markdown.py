"""Escapes foreign text for a page of Markdown, so that it is shown as it is and never read as Markdown or HTML."""

from __future__ import annotations

import re

from lang_envs.printable import printable

_ANYWHERE = re.compile(r"[\\`|$*]|(?<![^\W_])_|_(?![^\W_])")  # code, cells, formulas, emphasis
_BRACKETS = re.compile(r"(\[-?[\d.]+, -?[\d.]+\](?![\[(:]))|[\[\]]")  # links; intervals of numbers stay as they are
_FIRST = re.compile(r"^(\d*)(?=[.)])|^()(?=[+=~>-])|(?<!\S)()(?=#)")  # lists, quotes, headings


def text(value: str) -> str:
    """A line of text, escaped so that nothing in it is read as a heading, list, link, formula, cell or tag."""
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
