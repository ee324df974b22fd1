"""The world of :class:`~lang_envs.tasks.service_desk.ServiceDesk`: two services, their entities, and all wordings.

A service has nine entities. Each has a value in three slots, and a slot has three values. No two entities agree in two
slots. So one known value leaves three entities, and two known values leave one. ``desk.toml`` has the wordings.
"""

from __future__ import annotations

import itertools
import tomllib
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from lang_envs.corpora.dialogues.service import pieces

Texts = tuple[str, ...]
"""wordings of one thing"""
NUM_VALUES, NUM_SLOTS, NUM_ENTITIES = 3, 3, 9
ANY = -1
"""stands for a value that is not known or does not matter"""
_FILE = Path(__file__).with_suffix(".toml")


@dataclass(frozen=True)
class Slot:
    """One thing that has a value: a constraint, a part of a booking, or a fact about each entity."""

    name: str
    values: Texts
    heard: str
    """regular expression of the words that a question about it contains"""
    ask: Texts
    """questions for it: of the agent, or if it is a fact, of the user"""
    mention: tuple[Texts, ...] = ()
    """wordings of each value within a wish"""
    answer: tuple[Texts, ...] = ()
    """the user's answers to the agent's question, by value"""
    tell: tuple[Texts, ...] = ()
    """the agent's sentences about a fact, by value"""


@dataclass(frozen=True)
class Service:
    """One kind of business. Slots are numbered: constraints 0 to 2, parts of a booking 3 and 4, facts 5 and 6."""

    name: str
    wish: Texts
    names: Texts
    """names of the entities; ``names[3 * a + b]`` has the values a, b, and (a + b) mod 3"""
    slots: tuple[Slot, ...]

    @property
    def constraints(self) -> tuple[Slot, ...]:
        """The slots in which a user wants certain values."""
        return self.slots[:NUM_SLOTS]

    @property
    def booking(self) -> tuple[Slot, ...]:
        """The parts of a booking, all of which must be known to book."""
        return self.slots[NUM_SLOTS:FACTS]

    @property
    def facts(self) -> tuple[Slot, ...]:
        """The facts that a user may ask for; value i belongs to entity i."""
        return self.slots[FACTS:]

    @cached_property
    def offers(self) -> tuple[Texts, ...]:
        """The wordings with which each entity is offered."""
        return tuple(filled(wordings()["offer"], name) for name in self.names)


FACTS = NUM_SLOTS + 2
"""The number of the first fact."""


def values_of(entity: int) -> tuple[int, int, int]:
    """The values of an entity's three constraint slots."""
    a, b = divmod(entity, NUM_VALUES)
    return a, b, (a + b) % NUM_VALUES


@cache
def matches(wanted: tuple[int, ...]) -> tuple[int, ...]:
    """The entities with the wanted value in each slot; ``ANY`` is every value."""
    return tuple(
        entity
        for entity in range(NUM_ENTITIES)
        if all(want in (ANY, value) for want, value in zip(wanted, values_of(entity), strict=True))
    )


def filled(texts: Texts, *values: str) -> Texts:
    """The texts with values in the place of ``{}``, each beginning with a capital."""
    said = (text.format(*values) for text in texts)
    return tuple(text[:1].upper() + text[1:] for text in said)


@cache
def services() -> tuple[Service, ...]:
    """All services."""
    return tuple(_service(name, table) for name, table in _read()["services"].items())


@cache
def wordings() -> dict[str, Texts]:
    """The wordings that all services share, by their purpose."""
    return {name: _expanded(texts) for name, texts in _read().items() if name != "services"}


@cache
def _read() -> dict[str, Any]:
    return tomllib.loads(_FILE.read_text(encoding="utf-8"))


def _service(name: str, table: dict[str, Any]) -> Service:
    slots = tuple(_slot(slot, texts) for kind in ("slots", "booking", "facts") for slot, texts in table[kind].items())
    return Service(name, _expanded(table["wish"]), tuple(table["names"]), slots)


def _slot(name: str, table: dict[str, Any]) -> Slot:
    values = tuple(table["values"])
    mention = tuple(tuple(text.format(value) for text in table.get("mention", ())) for value in values)
    answer, tell = (tuple(filled(tuple(table.get(kind, ())), value) for value in values) for kind in ("answer", "tell"))
    return Slot(name, values, table["heard"], tuple(table["ask"]), mention, answer, tell)


def _expanded(texts: list[str]) -> Texts:
    return tuple("".join(chosen) for text in texts for chosen in itertools.product(*pieces(text)))
