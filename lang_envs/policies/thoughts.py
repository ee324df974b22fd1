"""Separates a model's thoughts from what it says."""

from __future__ import annotations

import re

_OPEN = re.compile(r"<think(?:ing)?>", re.IGNORECASE)
_CLOSE = re.compile(r"</think(?:ing)?>", re.IGNORECASE)


def apart(text: str) -> tuple[str, str]:
    """What ``text`` says, and its thoughts, which are the parts in ``<think>...</think>``.

    Either tag may be missing. Some chat templates write the opening tag themselves; then everything before the closing
    tag is thought. A limit of tokens may cut off the closing tag; then everything after the opening tag is thought.
    """
    *closed, last = _CLOSE.split(text)
    said, thoughts = [], []
    for part in closed:
        before, *inside = _OPEN.split(part, maxsplit=1)
        said.append(before if inside else "")
        thoughts.append(inside[0] if inside else before)
    before, *inside = _OPEN.split(last, maxsplit=1)
    said.append(before)
    thoughts += inside
    return "".join(said).strip(), "\n".join(filter(None, map(str.strip, thoughts)))
