"""The rules by which the simulated customer of MultiWOZ understands an agent's text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from lang_envs.corpora.multiwoz.database import Database
from lang_envs.corpora.multiwoz.values import minutes, named
from lang_envs.rewards.multiwoz_mentions import Mentions, Reader

_SENTENCE = re.compile(r"[^.?!]+[.?!]?")
_ASKING = re.compile(r"\?|\b(please (tell|give)|let me know|may i (know|ask)|i need to know|tell me)\b")
_ASKS = {
    "area": r"\barea|part of (the )?(town|city)|side of (the )?(town|city)|location",
    "food": r"\bfood|cuisine|type of restaurant",
    "pricerange": r"\bprice|budget|how expensive",
    "type": r"(type|kind|sort)s? of (attraction|place|hotel|accommodation|lodging|venue)|hotel or (a )?guest ?house",
    "stars": r"\bstars?\b|star rating",
    "parking": r"\bparking",
    "internet": r"\binternet|wi-?fi",
    "name": r"\bname of|which (restaurant|hotel|attraction) did|a particular",
    "departure": r"departure (station|point|place|location|site)|depart(ing)? from|leav(e|ing) from|travel(l?ing)? from"
    r"|com(e|ing) from|where .{0,30}\bfrom|pick(ed)? (you )?up",
    "destination": r"destination|where .{0,40}(to\b|going|heading)|going to\b|arriv\w+ at\b|drop(ped)? (you )?off",
    "day": r"\b(what|which) days?\b|\bday\b|\bwhen\b",
    "leaveAt": r"(departure|leav\w+|travel) time|time .{0,30}(leav|depart|go\b|pick)|when .{0,30}(leav|depart|go\b)",
    "arriveBy": r"arriv(e|al|ing)",
    "people": r"how many (guests|persons|tickets|seats|will)|party size|people|number of (guests|tickets)",
    "stay": r"\bnights?\b|how long|length of (the |your )?stay|many days",
    "time": r"\b(what|which) time\b|\btime\b",
}
_ASKED = {slot: re.compile(pattern) for slot, pattern in _ASKS.items()}
_REFUSES = re.compile(
    r"\bthere (are|is|were|was) ?(no|n[o']t any)\b"
    r"|\bno (such|match\w*|result|other|room|table|\w+ ?\w* (match|found|available))"
    r"|(could|can|did|was|were|do|does|is|are) ?(no|n'?)t (\w+ )?"
    r"(find|found|any|have|match|available|able|book|possible)"
    r"|\b(cannot|unable to|not able to|failed to) (find|book|reserve|locate)|\bfound no\b|\bnone\b|\bnothing\b"
    r"|\bno availability|\b(not|un)[ -]?available|\bfully booked|\bunsuccessful|\bnot successful"
)
_NUMBER_WORDS = {"0": "zero", "1": "one", "2": "two", "3": "three", "4": "four", "5": "five"}
_CLOCK = re.compile(r"\b\d{1,2}[:.]\d{2}(?: ?[ap]\.?m\b)?")
_NEGATED = re.compile(r"\b(no|not|n't|without|does ?n'?t|lacks?)\b")
_UNKNOWN = re.compile(r"unknown|not (listed|known|available|given)|no (information|data)|n'?t (know|have)")
_SPELLED = {"type": {"guesthouse": "guest house", "swimmingpool": "swimming pool", "concerthall": "concert hall"}}
_CALLED = {"parking": re.compile(r"parking"), "internet": re.compile(r"internet|wi-?fi")}


class Heard(NamedTuple):
    """What the customer understands of an agent's text."""

    asks: tuple[str, ...]
    """the slots that it asks for, in the order of ``_ASKS``"""
    refuses: bool
    """whether it says that nothing is found, or that something cannot be booked"""
    mentions: Mentions
    """the entities and attributes in it"""
    text: str
    """the text in lower case"""


class Hearing:
    """Understands an agent's texts; recent results are cached."""

    def __init__(self, database: Database) -> None:
        self.reader = Reader(database)
        self.hear = lru_cache(maxsize=2**15)(self._hear)

    def _hear(self, text: str) -> Heard:
        """What the customer understands of the text."""
        lower = " ".join(text.lower().split())
        asking = " ".join(s for s in _SENTENCE.findall(lower) if _ASKING.search(s))
        asks = tuple(slot for slot, pattern in _ASKED.items() if pattern.search(asking)) if asking else ()
        return Heard(asks, bool(_REFUSES.search(lower)), self.reader.read(text), lower)


def tells(slot: str, facts: Mapping[str, str], heard: Heard) -> bool:
    """Whether the text tells the value of an attribute, or if the value is not in ``facts``, that it is unknown.

    Args:
        slot: the attribute.
        facts: the entity's values by attribute.
        heard: the text.
    """
    value = facts.get(slot)
    text = heard.text
    if value is None:
        return _UNKNOWN.search(text) is not None
    if slot in ("phone", "postcode", "reference", "trainID"):
        return value.lower().replace(" ", "") in text.replace(" ", "")
    if slot in ("leaveAt", "arriveBy"):
        return minutes(value) in {minutes(found) for found in _CLOCK.findall(text)}
    if slot == "stars":
        return (
            re.search(rf"\b({value}|{_NUMBER_WORDS.get(value, value)})[ -]?stars?\b|stars?\D{{0,12}}\b{value}\b", text)
            is not None
        )
    if slot in _CALLED:
        return any(
            _CALLED[slot].search(sentence) and (value == "no") == bool(_NEGATED.search(sentence))
            for sentence in _SENTENCE.findall(text)
        )
    if slot in ("duration", "price", "entrance fee"):
        number = value.partition(" ")[0]
        return re.search(rf"(?<![\d.]){re.escape(number)}(?!\d)", text) is not None
    if slot == "address":
        return named(value.partition(",")[0]) in heard.mentions.text
    spelled = _SPELLED.get(slot, {}).get(value, value)
    if slot == "area" and value == "centre":
        return "centre" in text or "center" in text
    return value in text or spelled in text
