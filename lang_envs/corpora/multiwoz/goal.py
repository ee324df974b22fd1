"""Goal: what a user of MultiWOZ was told to ask for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lang_envs.corpora.files import CorpusError
from lang_envs.corpora.multiwoz.values import DOMAINS
from lang_envs.corpora.records import field, shown

_SPOKEN_OF = {
    "restaurant": r"restaurant",
    "hotel": r"place to stay|hotel|guesthouse",
    "train": r"\btrain\b",
    "attraction": r"places to go|attraction",
    "taxi": r"\btaxi\b",
    "police": r"police|robbed",
    "hospital": r"hospital|injured",
}
_FLAGS = ("invalid", "pre_invalid")


@dataclass(frozen=True)
class Need:
    """The part of a goal in one domain; all mappings are from slots to values as in the file."""

    domain: str
    info: Mapping[str, str]
    """constraints on the entity"""
    fail_info: Mapping[str, str]
    """constraints that the user tells first and that no entity satisfies; empty if the user begins with ``info``"""
    requests: tuple[str, ...]
    """attributes the customer must come to know"""
    book: Mapping[str, str]
    """details of the booking; empty if nothing is booked"""
    fail_book: Mapping[str, str]
    """details that the user asks for first and that cannot be booked; empty if the user begins with ``book``"""


@dataclass(frozen=True)
class Goal:
    """All needs, in the order in which the user was told of them; a taxi comes last."""

    needs: tuple[Need, ...]

    @property
    def domains(self) -> tuple[str, ...]:
        """The domains of the needs."""
        return tuple(need.domain for need in self.needs)


def goal_of(record: Any, where: str) -> Goal:
    """The goal of a dialogue of MultiWOZ 2.1.

    Args:
        record: ``{"restaurant": {"info", "fail_info", "book", "fail_book", "reqt"}, ..., "message"}``.
        where: the place of the record, for errors.

    Raises:
        CorpusError: a field has another form; the message names it.
    """
    if not isinstance(record, Mapping):
        raise CorpusError(f"{where}: expected an object of domains, got {shown(record)}")
    needs = [_need(domain, record[domain], f"{where}, {domain}") for domain in DOMAINS if record.get(domain)]
    lines = record.get("message") or []
    order = _order(lines if isinstance(lines, list) else [lines])
    return Goal(tuple(sorted(needs, key=lambda need: (need.domain == "taxi", order.get(need.domain, len(DOMAINS))))))


def _need(domain: str, record: Any, where: str) -> Need:
    if not isinstance(record, Mapping):
        raise CorpusError(f"{where}: expected an object of info, book and reqt, got {shown(record)}")
    parts = {key: _slots(record, key, where) for key in ("info", "fail_info", "book", "fail_book")}
    requests = field(record, "reqt", object, where) if "reqt" in record else []
    if not (isinstance(requests, list) and all(isinstance(slot, str) for slot in requests)):
        raise CorpusError(f"{where}, field 'reqt': expected a list of slots, got {shown(requests)}")
    return Need(domain, requests=tuple(requests), **parts)


def _slots(record: Any, key: str, where: str) -> dict[str, str]:
    found = field(record, key, object, where) if key in record else {}
    if not isinstance(found, Mapping):
        raise CorpusError(f"{where}, field {key!r}: expected an object of slots and values, got {shown(found)}")
    slots = {slot: value for slot, value in found.items() if slot not in _FLAGS}
    return {slot: field(slots, slot, str, f"{where}, {key}") for slot in slots}


def _order(lines: list[object]) -> dict[str, int]:
    """The index of the first line about each domain."""
    order: dict[str, int] = {}
    for line in lines:
        found = {domain: re.search(words, str(line)) for domain, words in _SPOKEN_OF.items() if domain not in order}
        places = {domain: place.start() for domain, place in found.items() if place}
        if places:
            order[min(places, key=lambda domain: places[domain])] = len(order)
    return order
