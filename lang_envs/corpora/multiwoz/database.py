"""Database: MultiWOZ's seven databases, and queries over them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from lang_envs.corpora.files import CorpusError, read_json
from lang_envs.corpora.multiwoz.values import DOMAINS, DONTCARE, OFFERED, minutes, named, normalised
from lang_envs.corpora.records import field, shown

Constraints = tuple[tuple[str, str], ...]
"""(slot, value), sorted by slot"""

_HOSPITAL = {"name": "addenbrookes hospital", "address": "hills rd, cambridge", "postcode": "cb20qq"}
_HOSPITAL_PHONE = "01223245151"  # of the hospital itself
_UNKNOWN = ("?", "none", "")


class Entity(NamedTuple):
    """One entry of a database."""

    domain: str
    key: str
    """the id of the entry in its domain; for a train its number, which several entries may share"""
    facts: Mapping[str, str]
    """its attributes, by slot, without unknown ones"""

    @property
    def name(self) -> str:
        """The name of the entry."""
        return self.facts["trainID" if self.domain == "train" else "name"]


class Database:
    """All entries, and queries over them, whose results are cached.

    Attributes:
        entities: the entries of each domain, in the order of its file.
        taxi: the colours and the makes of taxis.
    """

    def __init__(
        self, entities: Mapping[str, tuple[Entity, ...]], taxi: tuple[tuple[str, ...], tuple[str, ...]]
    ) -> None:
        self.entities, self.taxi = dict(entities), taxi
        self._called: dict[tuple[str, str], tuple[Entity, ...]] = {}
        self._having: dict[tuple[str, str], dict[str | None, set[int]]] = {}  # domain, slot -> value -> indices
        for domain in OFFERED:
            for entity in self.entities[domain]:
                self._called[domain, entity.key] = (*self._called.get((domain, entity.key), ()), entity)
            for slot in {slot for entity in self.entities[domain] for slot in entity.facts}:
                having = self._having.setdefault((domain, slot), {})
                for place, entity in enumerate(self.entities[domain]):
                    value = entity.facts.get(slot)
                    having.setdefault(None if value is None else normalised(slot, value), set()).add(place)
        self._query = lru_cache(maxsize=2**14)(self._find)

    def query(self, domain: str, constraints: Mapping[str, str] | Constraints) -> tuple[Entity, ...]:
        """The entries that satisfy all constraints, in the order of the file.

        Values are compared after normalisation. A value that is ``DONTCARE`` or empty, and a slot that the domain does
        not have, is no constraint. An entry without a value for a slot satisfies any constraint on it. ``leaveAt``
        means at or after, ``arriveBy`` at or before. Taxis, the police and hospitals have no entries, so the result is
        empty.
        """
        pairs = constraints.items() if isinstance(constraints, Mapping) else constraints
        return self._query(domain, tuple(sorted(pairs)))

    def called(self, domain: str, key: str) -> tuple[Entity, ...]:
        """The entries with that key; several for a train."""
        return self._called.get((domain, key), ())

    def satisfies(self, domain: str, key: str, constraints: Mapping[str, str]) -> bool:
        """Whether an entry with that key satisfies all constraints."""
        return any(entity.key == key for entity in self.query(domain, constraints))

    def violated(self, domain: str, key: str, constraints: Mapping[str, str]) -> tuple[str, ...]:
        """The slots in which the entries with that key violate the constraints."""
        return tuple(s for s, v in constraints.items() if not self.satisfies(domain, key, {s: v}))

    def fixed(self, domain: str, constraints: Mapping[str, str]) -> Mapping[str, str]:
        """The attributes of the police or of a department of the hospital; empty for other domains."""
        if domain == "police":
            return self.entities["police"][0].facts
        if domain != "hospital":
            return {}
        wanted = named(constraints.get("department", ""))
        departments = {named(entity.facts["department"]): entity.facts for entity in self.entities["hospital"]}
        return {**_HOSPITAL, "phone": departments.get(wanted, {}).get("phone", _HOSPITAL_PHONE)}

    def _find(self, domain: str, constraints: Constraints) -> tuple[Entity, ...]:
        if domain not in OFFERED:
            return ()
        found = set(range(len(self.entities[domain])))
        for slot, value in constraints:
            asked = normalised(slot, value)
            if asked and asked != DONTCARE and (having := self._having.get((domain, slot))):
                fitting = (places for own, places in having.items() if own is None or _fits(slot, own, asked))
                found &= set[int]().union(*fitting)
        return tuple(self.entities[domain][place] for place in sorted(found))


def _fits(slot: str, own: str, asked: str) -> bool:
    """Whether an entry's value satisfies a constraint."""
    if slot in ("leaveAt", "arriveBy"):
        at, limit = minutes(own), minutes(asked)
        if at is not None and limit is not None:
            return at >= limit if slot == "leaveAt" else at <= limit
    return own == asked or (slot == "name" and asked in own) or (slot == "food" and asked == own.split(" ")[-1])


def load(folder: str | os.PathLike[str]) -> Database:
    """Reads ``<domain>_db.json`` of the seven domains.

    Raises:
        CorpusError: a file is missing, or a record has another form; the message names file, record and field.
    """
    folder = Path(folder)
    read = {domain: _records(folder / f"{domain}_db.json") for domain in DOMAINS}
    entities = {
        domain: tuple(_entity(domain, record, f"{file}, record {i}", i) for i, record in enumerate(records))
        for domain, (file, records) in read.items()
        if domain != "taxi"
    }
    file, records = read["taxi"]
    if not entities["police"] or not records:
        raise CorpusError(f"{folder}: expected an entry of the police and one of taxis, found none")
    at = f"{file}, record 0"
    colours, makes = (field(records[0], key, list, at) for key in ("taxi_colors", "taxi_types"))
    if not (colours and makes):
        raise CorpusError(f"{at}: expected some taxi_colors and taxi_types, got none")
    return Database(entities, (tuple(map(str, colours)), tuple(map(str, makes))))


def _records(file: Path) -> tuple[Path, list[object]]:
    records = read_json(file)
    if not isinstance(records, list):
        raise CorpusError(f"{file}: expected a list of entries, got {shown(records)}")
    return file, records


_KEYS = {"train": "trainID", "hospital": "department"}
_SAYS_NOTHING = (("restaurant", "type"), ("attraction", "pricerange"))  # one value; the entrance fee in other words
_LEFT_OUT = ("id", "location", "introduction", "signature", "openhours", "takesbookings")


def _entity(domain: str, record: object, where: str, number: int) -> Entity:
    name = field(record, _KEYS.get(domain, "name"), str, where)
    assert isinstance(record, Mapping)
    facts = {
        slot: str(value).lower() if slot != "trainID" else str(value)
        for slot, value in record.items()
        if slot not in _LEFT_OUT
        and (domain, slot) not in _SAYS_NOTHING
        and isinstance(value, str | int)
        and str(value).lower() not in _UNKNOWN
    }
    return Entity(domain, name if domain == "train" else str(number), facts)
