"""Reads what an agent says at a desk by rules over its text, and words what a scripted desk says."""

from __future__ import annotations

import re
from enum import Enum
from functools import cache, lru_cache
from typing import NamedTuple

from lang_envs.corpora.dialogues.desk import ANY, FACTS, Texts, filled, services, wordings

_ASKS = re.compile(r"\?|\b(?:what|which|how|where|when|tell me|let me know)\b", re.IGNORECASE)
_DENIES = re.compile(r"\b(?:no|none|nothing|not (?:find|have)|(?:can|could)(?:not|n't) find)\b", re.IGNORECASE)
_BOOKS = re.compile(r"\b(?:book|booked|booking|reserve|reserved|reservation)\b([^.?!]*[.?!]?)", re.IGNORECASE)
_WOULD_BOOK = re.compile(
    r"\b(?:(?:can|could|shall|should|may|might|would|to)(?: \w+){0,3}|not|never|n't) (?:book|reserv)", re.IGNORECASE
)
_DIGITS = {"1": "one", "2": "two", "3": "three", "4": "four", "5": "five", "6": "six"}


class Heard(NamedTuple):
    """The content of one utterance without its wording. It may contain several things."""

    books: bool = False
    """whether it says that something is booked; a question or an offer to book does not"""
    entity: int = ANY
    """the first entity that it names"""
    denies: bool = False
    """whether it says that no entity fits"""
    asks: int = ANY
    """the first slot that it asks for"""
    says: tuple[tuple[int, int], ...] = ()
    """the values that it names, as (slot, value); a phone number that no entity has is the value ``ANY``"""

    def named(self, slot: int) -> set[int]:
        """The values that it names in one slot."""
        return {value for said, value in self.says if said == slot}


class Move(Enum):
    """The kinds of moves of a turn."""

    BOOK = "says that it is booked"
    OFFER = "names an entity other than the one taken"
    DENY = "says that there is none"
    TELL = "tells the fact that the user waits for"
    ASK = "asks for a slot"
    REMARK = "says something true or untrue that was not asked for"
    NOTHING = "says nothing that a user understands"


@lru_cache(maxsize=2**16)
def read(service: int, utterance: str) -> Heard:
    """Reads an utterance. Case does not matter, and figures count as words."""
    words, names = _lexicon(service)
    entity, says = ANY, []
    for word in words.findall(utterance):
        slot, value = names.get(word.lower(), (FACTS, ANY))  # a number that no entity has
        if slot >= 0:
            says.append((slot, value))
        elif entity == ANY:
            entity = value
    booked = _BOOKS.search(utterance)
    books = booked is not None and not booked[1].endswith("?") and not _WOULD_BOOK.search(utterance)
    asks = _asked(service, utterance) if _ASKS.search(utterance) else ANY
    return Heard(books, entity, _DENIES.search(utterance) is not None, asks, tuple(dict.fromkeys(says)))


@cache
def ways_to_say(service: int, heard: Heard, accepted: int) -> Texts:
    """The wordings of an utterance with one thing; :func:`read` returns the same content from each of them.

    Args:
        service: the number of the service.
        heard: the content, which must be a single thing.
        accepted: the entity that the user has taken; ``ANY`` for none.
    """
    desk, said = services()[service], wordings()
    if heard.books:
        name = desk.names[heard.entity if heard.entity != ANY else accepted]
        parts = [desk.slots[slot].mention[value][0] for slot, value in heard.says]
        return filled(said["book"], name, *parts)
    if heard.entity != ANY:
        return desk.offers[heard.entity]
    if heard.denies:
        return said["deny"]
    if heard.asks != ANY:
        return desk.slots[heard.asks].ask
    if heard.says:
        [(slot, value)] = heard.says
        return desk.slots[slot].tell[value]
    return said["odd"]


def move(heard: Heard, accepted: int, pending: int, none_fits: bool) -> Move:
    """The move of an utterance: the first one in the order of :class:`Move` that it contains.

    Args:
        heard: the content of the utterance.
        accepted: the entity that the user has taken; ``ANY`` for none.
        pending: the fact that the user waits for; ``ANY`` for none.
        none_fits: whether no entity fits. Otherwise a question in the same text comes before a denial.
    """
    if heard.books:
        return Move.BOOK
    if heard.entity not in (ANY, accepted):
        return Move.OFFER
    if heard.denies and (none_fits or heard.asks == ANY):
        return Move.DENY
    if pending != ANY and heard.named(pending):
        return Move.TELL
    if heard.asks != ANY:
        return Move.ASK
    if heard.entity != ANY or any(slot >= FACTS for slot, _ in heard.says):
        return Move.REMARK
    return Move.NOTHING


def _asked(service: int, utterance: str) -> int:
    found = [(at.start(), slot) for slot, topic in enumerate(_topics(service)) if (at := topic.search(utterance))]
    return min(found)[1] if found else ANY


@cache
def _topics(service: int) -> tuple[re.Pattern[str], ...]:
    """The pattern of a question about each constraint and each part of a booking."""
    return tuple(re.compile(rf"\b(?:{slot.heard})\b", re.IGNORECASE) for slot in services()[service].slots[:FACTS])


@cache
def _lexicon(service: int) -> tuple[re.Pattern[str], dict[str, tuple[int, int]]]:
    """A pattern of all names and values, and name or value -> (slot, value); for an entity (-1, entity)."""
    desk = services()[service]
    names = {name.lower(): (-1, entity) for entity, name in enumerate(desk.names)}
    for number, slot in enumerate(desk.slots):
        names |= {value.lower(): (number, i) for i, value in enumerate(slot.values)}
    names |= {digit: names[word] for digit, word in _DIGITS.items() if word in names}
    return re.compile(rf"\b(?:{'|'.join(names)}|\d\d+)\b", re.IGNORECASE), names
