"""Where everything is printed that a person reads: rich's console, which no text it prints can steer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from lang_envs.printable import printable


class Terminal(Console):
    """A console that writes control characters out; colours and places are its own alone.

    Takes the arguments of ``rich.console.Console``. Numbers are not coloured and ``:names:`` are no pictures unless
    asked for.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"highlight": False, "emoji": False, **options})

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """What is printed of anything, in pieces."""
        for piece in super().render(renderable, options):
            yield piece if piece.control else Segment(printable(piece.text, keep="\n\t"), piece.style)
