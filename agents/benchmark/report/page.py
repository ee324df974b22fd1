"""One HTML page that needs nothing else: sections and links to them, made from ``templates/``.

``templates/style.css`` is for light and dark, for wide screens and narrow ones; ``opening.css`` adds what the top of a
report needs. All that is put into a template is escaped by it, but for episodes, which ``agents.evaluation.explain``
has escaped.
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
    """what is below the title, as ``render`` made it"""


def page(title: str, lead: str | Markup, sections: Sequence[Section]) -> str:
    """The page's source.

    Args:
        title: text of its heading.
        lead: what is below it: a line of text, or what ``render`` made.
        sections: in order.
    """
    return str(render("page.html", title=title, lead=lead, sections=sections))


def render(template: str, **values: Any) -> Markup:
    """A template of this package, filled in; every value is escaped.

    Raises:
        jinja2.UndefinedError: the template asks for a value that is not there.
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
