"""Writes the look-up that the agent of MultiWOZ-Goal sees before it speaks, and reads it back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import islice
from typing import NamedTuple

from lang_envs.corpora.multiwoz.values import DONTCARE, OFFERED
from lang_envs.tasks.multiwoz_agenda import CustomerState
from lang_envs.tasks.multiwoz_customer import Customers

_NAMES = ("name", "trainID")
_OTHERS = 2  # most names that are shown besides the first entity
_PAIR = r"[^()]*"
_WRITTEN = re.compile(
    rf"(?P<domain>\w+) \((?P<told>{_PAIR})\)(: (?P<count>\d+) found)?\."
    rf"( (?P<name>[^(.]+) \((?P<facts>{_PAIR})\)\.)?( Also (?P<others>[^.]+)\.)?"
    rf"( Booking \((?P<details>{_PAIR})\): (?P<booking>[\w ]+)\.)?"
)
INCOMPLETE, IMPOSSIBLE = "more is needed", "not available"


class Lookup(NamedTuple):
    """The content of a look-up."""

    domain: str
    told: Mapping[str, str]
    """the constraints of the query"""
    number: int
    """number of entities found; 1 for a domain without choice, 0 for a taxi of which too little is known"""
    name: str
    """name of the first entity found; empty if none was found"""
    facts: Mapping[str, str]
    """its attributes that are not among the constraints"""
    details: Mapping[str, str]
    """the details that the customer told for the booking"""
    booking: str
    """the reference, ``INCOMPLETE`` or ``IMPOSSIBLE``; empty if no detail of a booking was told"""


def written(customers: Customers, state: CustomerState) -> str:
    """The database's answer to what the customer told for the current need."""
    domain, told = customers.plan(state).domain, dict(state.told)
    constraints = {slot: value for slot, value in told.items() if not slot.startswith("book ")}
    text = f"{domain} ({_pairs(constraints)})"
    if domain in OFFERED:
        found = customers.found(state)
        text += f": {len(found)} found."
        if found:
            first = found[0]
            names = list(islice((entity.name for entity in found if entity.name != first.name), _OTHERS))
            text += f" {first.name} ({_pairs(_news(first.facts, told))})."
            text += f" Also {', '.join(names)}." if names else ""
    else:
        text += "."
        if facts := customers.facts(state):
            text += f" {domain} ({_pairs(_news(facts, told))})."
    if details := {slot.removeprefix("book "): value for slot, value in told.items() if slot.startswith("book ")}:
        reference = customers.reference(state)
        booking = INCOMPLETE if reference is None else reference or IMPOSSIBLE
        text += f" Booking ({_pairs(details)}): {booking}."
    return text


def read(text: str) -> Lookup | None:
    """The reverse of :func:`written`; None for another text."""
    found = _WRITTEN.fullmatch(text)
    if found is None:
        return None
    count = int(found["count"]) if found["count"] else int(bool(found["name"]))
    told, facts, details = (_read_pairs(found[part] or "") for part in ("told", "facts", "details"))
    return Lookup(found["domain"], told, count, found["name"] or "", facts, details, found["booking"] or "")


def _news(facts: Mapping[str, str], told: Mapping[str, str]) -> dict[str, str]:
    return {slot: value for slot, value in facts.items() if slot not in _NAMES and told.get(slot) != value}


def _pairs(slots: Mapping[str, str]) -> str:
    return "; ".join(f"{slot}: {_plain(value)}" for slot, value in slots.items())


def _plain(value: str) -> str:
    return "any" if value == DONTCARE else value.replace("(", "").replace(")", "").replace(";", ",")


def _read_pairs(text: str) -> dict[str, str]:
    return dict(pair.split(": ", 1) for pair in text.split("; ") if ": " in pair)
