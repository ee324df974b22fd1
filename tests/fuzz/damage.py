"""Damage to files: to their bytes, and to the JSON in them. Each kind of damage is an object that describes itself."""

from __future__ import annotations

import copy
import json
import random
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

HUGE, DEEP = "<an integer of 5,000 digits>", "<a list 100,000 deep>"
"""stand for JSON that Python's own writer refuses to write"""
ODD = (
    None, True, False, -1, 0, 1, 2, 1.5, -0.0, 2**31, 2**63, 10**400, 1e308, float("nan"), float("inf"), HUGE, DEEP,
    "", "x", " ", "\0", "\ud83d", "<|end|>", "<|user|>", "../../x", "/etc/passwd", "[red]x[/", "\x1b]0;x\x07", "1",
    "y" * 10_000, [], {}, [1, 2], [None], [[]], {"x": None}, ["x"], {"": 1}, [[], [[]]],
)  # fmt: skip
"""values of every type, most of them wrong wherever they stand"""


@dataclass(frozen=True)
class Bytes:
    """Damage to the bytes of a file, at a place that is a share of its length."""

    how: str
    at: float
    size: int = 1

    def apply(self, content: bytes) -> bytes:
        """The damaged content."""
        place = min(int(self.at * len(content)), max(0, len(content) - 1))
        before, after = content[:place], content[place:]
        match self.how:
            case "flip" if content:
                flipped = bytearray(content)
                flipped[place] ^= 1 << self.size % 8
                return bytes(flipped)
            case "cut":
                return before
            case "drop":
                return before + after[self.size :]
            case "insert":
                return before + random.Random(self.size).randbytes(self.size) + after
            case "zero":
                return before + b"\0" * len(after[: self.size]) + after[self.size :]
            case "twice":
                return content + content
            case "noise":
                return random.Random(self.size).randbytes(len(content))
        return b""


def of_bytes() -> st.SearchStrategy[Bytes]:
    """One flipped bit half of the time."""
    hows = ("flip",) * 8 + ("cut",) * 3 + ("drop", "insert", "zero", "twice", "noise", "empty")
    place = st.integers(0, 2**32 - 1).map(lambda number: number * 2654435761 % 2**32 / 2**32)  # spread evenly
    return st.builds(Bytes, st.sampled_from(hows), place, st.integers(1, 64))


@dataclass(frozen=True)
class Edit:
    """A change of one place in a JSON value."""

    path: tuple[str | int, ...]
    how: str
    value: Any = None

    def apply(self, document: Any) -> Any:
        """The edited value; the one given stays as it was."""
        if not self.path:
            return self.value
        edited = copy.deepcopy(document)
        *way, last = self.path
        place = edited
        for key in way:
            place = place[key]
        match self.how:
            case "set":
                place[last] = self.value
            case "remove":
                del place[last]
            case "rename" if isinstance(place, dict):
                place[f"{last}x"] = place.pop(last)
            case "add" if isinstance(place, dict):
                place["more"] = self.value
            case "nudge":
                place[last] = _nudged(place[last])
            case _ if isinstance(place, list):
                place.insert(int(last), copy.deepcopy(place[last]))
        return edited


def _nudged(value: Any) -> Any:
    """Another value of the same type."""
    match value:
        case bool():
            return not value
        case int():
            return value + 1
        case float():
            return value * 2 + 0.5
        case str():
            return value[::-1] + "a"
        case list():
            return value[1:] + value[:1]
    return {} if isinstance(value, dict) else 0


@st.composite
def of_json(draw: st.DrawFn, document: Any) -> Edit:
    """One place, near the top more often than deep down, and what happens to it."""
    path, place = list[str | int](), document
    while isinstance(place, dict | list) and place and (not path or draw(st.integers(0, 3))):
        key = draw(st.sampled_from(list(place) if isinstance(place, dict) else range(len(place))))
        path.append(key)
        place = place[key]
    how = draw(st.sampled_from(("set", "set", "set", "nudge", "remove", "rename", "add")))
    return Edit(tuple(path), how, draw(st.sampled_from(ODD)) if how in ("set", "add") or not path else None)


def write_json(document: Any) -> bytes:
    """The text of a value, with what stands for JSON that cannot be written so."""
    text = json.dumps(document)
    text = text.replace(json.dumps(HUGE), "9" * 5000)
    return text.replace(json.dumps(DEEP), "[" * 100_000 + "]" * 100_000).encode()
