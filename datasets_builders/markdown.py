"""Text of others inside a page of Markdown: shown as it is, never read as Markdown or HTML."""

from __future__ import annotations

import re
from html import escape

from lang_envs.printable import printable


def text(value: str) -> str:
    """A line of text, on which nothing is a heading, a list, a link, a formula, a cell or a tag."""
    line = printable(value.strip())
    line = re.sub(r"([\\`|$*_])", r"\\\1", line)
    line = re.sub(r"(?<=[\]!])(?=[\[(])|(?<=\])(?=:)", r"\\", line)  # links, pictures, where links lead
    line = re.sub(r"^(?=[#+=~>-])|(?<=^\d)(?=[.)])", r"\\", line)
    return escape(line, quote=False)


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
