"""Makes one HTML page that needs no other file: sections and links to them, from ``templates/``.

``templates/style.css`` has the style for light and dark, wide and narrow screens; ``opening.css`` adds the style of the
top of a report. Templates escape all values, except episodes, which ``agents.evaluation.explain`` has escaped.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup


class Section(NamedTuple):
    """A part of a page."""

    anchor: str
    """unique on the page"""
    title: str
    html: Markup
    """the content below the title, made by ``render``"""


def page(title: str, lead: str | Markup, sections: Sequence[Section]) -> str:
    """The page's source.

    Args:
        title: text of its heading.
        lead: content below the heading: a line of text, or HTML that ``render`` made.
        sections: the sections in order.
    """
    return str(render("page.html", title=title, lead=lead, sections=sections))


def render(template: str, **values: Any) -> Markup:
    """Fills in a template of this package; every value is escaped.

    Raises:
        jinja2.UndefinedError: a value that the template needs is missing.
    """
    from markupsafe import Markup

    return Markup(_templates().get_template(template).render(values))  # its values were escaped


@cache
def _templates() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("agents.benchmark.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
