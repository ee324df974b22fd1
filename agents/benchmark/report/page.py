"""One HTML page that needs nothing else: sections and links to them.

``page.html`` holds its style, for light and dark, for wide screens and narrow ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from importlib.resources import files
from string import Template
from typing import NamedTuple

ADVANTAGE_KEY = (
    '<p class="note key">Each token the agent chose, coloured by its advantage Q − V: '
    '<span style="background:rgba(35,110,200,.6)">better</span> or '
    '<span style="background:rgba(215,105,15,.6)">worse</span> '
    "than the model expected; grey is the environment. Point at a token for its numbers.</p>"
)
"""what the colours of ``Explanation.html`` mean"""


class Section(NamedTuple):
    """A part of a page."""

    anchor: str
    """unique on the page"""
    title: str
    html: str
    """what is below the title"""


def page(title: str, lead: str, sections: Sequence[Section]) -> str:
    """The page's source.

    Args:
        title: text of its heading.
        lead: text of the line below it.
        sections: in order.
    """
    template = Template(files("agents.benchmark.report").joinpath("page.html").read_text(encoding="utf-8"))
    parts = [f'<section id="{escape(s.anchor)}">\n<h2>{escape(s.title)}</h2>\n{s.html}\n</section>' for s in sections]
    links = [f'<li><a href="#{escape(s.anchor)}">{escape(s.title)}</a></li>' for s in sections]
    return template.substitute(title=escape(title), lead=escape(lead), links="".join(links), sections="\n".join(parts))
