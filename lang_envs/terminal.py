"""Terminal: rich's console for all output to people, which escapes the control characters of any text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from lang_envs.printable import printable


class Terminal(Console):
    """A console that escapes control characters in text, so that text cannot change colours or move the cursor.

    It takes the arguments of ``rich.console.Console``. By default it does not colour numbers and does not turn
    ``:names:`` into pictures.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"highlight": False, "emoji": False, **options})

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """The segments of an object, with control characters in their text escaped."""
        for piece in super().render(renderable, options):
            yield piece if piece.control else Segment(printable(piece.text, keep="\n\t"), piece.style)
