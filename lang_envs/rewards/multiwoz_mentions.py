"""Finds in a text of MultiWOZ's agent the names of the database's entities, and attributes such as phone numbers.

A text may be as people write it ("the allenbell, phone 01223 210353") or delexicalised ("[value_name], phone
[value_phone]").
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from lang_envs.corpora.multiwoz.database import Database
from lang_envs.corpora.multiwoz.values import OFFERED, named

_PLACEHOLDER = re.compile(r"\[(?:(\w+?)_)?([a-zA-Z]+)\]")
_SLOT_OF = {
    "name": "name",
    "id": "trainID",
    "trainid": "trainID",
    "phone": "phone",
    "address": "address",
    "addr": "address",
    "postcode": "postcode",
    "post": "postcode",
    "reference": "reference",
    "ref": "reference",
}
_PATTERNS = {
    "phone": re.compile(r"(?<!\d)\d{10,11}(?!\d)"),
    "postcode": re.compile(r"\bcb ?\d{1,2} ?\d ?[a-z]{2}\b"),
    "reference": re.compile(r"\b(?=\d*[a-z])(?=[a-z]*\d)[a-z0-9]{8}\b"),
    "trainID": re.compile(r"\btr ?\d{4}\b"),
}
_CODE = re.compile(r"\b(?=\d*[A-Z])[A-Z0-9]{8}\b")  # a reference without digits, recognised by its capitals
_SPACED_DIGITS = re.compile(r"(?<=\d)[ -](?=\d{3})")
_TRAIN = re.compile(r"\btr ?(\d{4})\b")
_GENERIC = (
    " restaurant and bar",
    " restaurant bar",
    " restaurant",
    " hotel",
    " guesthouse",
    " bed and breakfast",
    " nightclub",
)
_SHORTEST_ALIAS = 7  # letters; a shorter single word that is left without its kind of place is no alias
_COMMON = ("place",)  # counts as a name only after "the" and before none of the words _GOES_ON
_GOES_ON = ("to", "you", "is", "was", "has", "in", "for", "that", "with", "where", "which", "s", "and", "of", "will")
_STREET_WORDS = 3


class Mentions(NamedTuple):
    """The names, placeholders and attributes that were found in one text."""

    offers: Mapping[str, tuple[str, ...]]
    """domain -> the keys of the named entities, in the order of the text"""
    placeholders: frozenset[tuple[str, str]]
    """(domain, slot) of each placeholder in brackets; the domain is empty if the brackets do not name one"""
    patterns: frozenset[str]
    """attributes whose pattern is in the text, whichever entity they belong to"""
    text: str
    """the text, normalised as names are (``named``)"""


class Reader:
    """Finds the names of a database's entities, with or without "the" and the kind of place ("hotel", "restaurant")."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._names: dict[str, list[tuple[tuple[str, ...], str, str]]] = defaultdict(list)
        self._streets: dict[str, set[str]] = {}
        known: dict[str, tuple[str, str]] = {}
        for domain in (domain for domain in OFFERED if domain != "train"):
            for entity in database.entities[domain]:
                known[named(entity.name)] = (domain, entity.key)
            streets = (
                _street(entity.facts["address"]) for entity in database.entities[domain] if "address" in entity.facts
            )
            self._streets[domain] = {street for street in streets if street}
        aliases: dict[str, set[tuple[str, str]]] = defaultdict(set)
        for name, where in known.items():
            if (alias := _alias(name)) and alias not in known:
                aliases[alias].add(where)
        known |= {alias: where for alias, (where, *others) in ((a, tuple(w)) for a, w in aliases.items()) if not others}
        for name, (domain, key) in known.items():
            words = ("the", name) if name in _COMMON else tuple(name.split())
            self._names[words[0]].append((words, domain, key))
        for some in self._names.values():
            some.sort(key=lambda entry: -len(entry[0]))
        self.read = lru_cache(maxsize=2**15)(self._read)

    def _read(self, text: str) -> Mentions:
        """The mentions in a text."""
        plain = named(text)
        words = plain.split()
        offers: dict[str, list[str]] = defaultdict(list)
        at = 0
        while at < len(words):
            for name, domain, key in self._names.get(words[at], ()):
                if tuple(words[at : at + len(name)]) == name:
                    following = words[at + len(name) : at + len(name) + 1]
                    if name[-1] in _COMMON and following and following[0] in _GOES_ON:
                        continue
                    offers[domain].append(key)
                    at += len(name) - 1
                    break
            at += 1
        if trains := [f"TR{number}" for number in _TRAIN.findall(plain)]:
            offers["train"] = [train for train in trains if self.database.called("train", train)]
        together = _SPACED_DIGITS.sub("", plain)
        patterns = {slot for slot, pattern in _PATTERNS.items() if pattern.search(together)}
        if _CODE.search(text):
            patterns.add("reference")
        return Mentions(
            {domain: tuple(dict.fromkeys(keys)) for domain, keys in offers.items() if keys},
            frozenset(
                ("" if domain in ("", "value") else domain, _SLOT_OF[slot.lower()])
                for domain, slot in _PLACEHOLDER.findall(text)
                if slot.lower() in _SLOT_OF
            ),
            frozenset(patterns),
            plain,
        )

    def says_address(self, mentions: Mentions, domain: str) -> bool:
        """Whether the text contains the street of an address in that domain."""
        return any(street in mentions.text for street in self._streets.get(domain, ()))


def _street(address: str) -> str:
    """The first words of an address, which people use: the number and the name of the street."""
    return " ".join(named(address.partition(",")[0]).split()[:_STREET_WORDS])


def _alias(name: str) -> str:
    """The name without its kind of place; empty if it has none, or if a short single word would be left."""
    short = next((name.removesuffix(kind) for kind in _GENERIC if name.endswith(kind)), name)
    short = short.removeprefix("restaurant ")
    return short if short != name and (" " in short or len(short) >= _SHORTEST_ALIAS) else ""
