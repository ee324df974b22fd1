"""Escapes control characters of foreign text, so that a terminal or a page can show it."""

from __future__ import annotations

import re

_STEERING = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""control characters (C0, DEL, C1), breaks of lines and paragraphs, changes of direction, half characters"""


def printable(text: str, keep: str = "") -> str:
    r"""The text with escapes such as ``\x1b`` for control characters.

    Args:
        text: any text.
        keep: characters that stay, such as line breaks in a text of several lines.
    """

    def written_out(found: re.Match[str]) -> str:
        character = found[0]
        return character if character in keep else character.encode("unicode_escape").decode()

    return _STEERING.sub(written_out, text)
