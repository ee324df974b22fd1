"""What a model thinks aloud before it speaks, kept apart from what it says."""

from __future__ import annotations

import re

_OPEN = re.compile(r"<think(?:ing)?>", re.IGNORECASE)
_CLOSE = re.compile(r"</think(?:ing)?>", re.IGNORECASE)


def apart(text: str) -> tuple[str, str]:
    """What is said in ``text``, and what is thought: the parts in ``<think>...</think>``.

    Either tag may be missing. Without an opening one, which some chat templates write themselves, all before the
    closing one is thought; without a closing one, which a limit of tokens may cut off, all after the opening one.
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
