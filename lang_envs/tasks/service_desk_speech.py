"""Reading what an agent says at a desk, by rules over its text, and saying it."""

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
    """What one utterance says, apart from its wording. Several things may be in it."""

    books: bool = False
    """whether it says that something is booked: a question, or an offer to book, is none"""
    entity: int = ANY
    """the first one it names"""
    denies: bool = False
    """whether it says that there is nothing"""
    asks: int = ANY
    """the slot it asks for, the first one"""
    says: tuple[tuple[int, int], ...] = ()
    """the values it names, each as a slot and a value; ``ANY`` is the value of a number that nobody has"""

    def named(self, slot: int) -> set[int]:
        """The values it names in one slot."""
        return {value for said, value in self.says if said == slot}


class Move(Enum):
    """What a turn does."""

    BOOK = "says that it is booked"
    OFFER = "names an entity other than the one taken"
    DENY = "says that there is none"
    TELL = "tells the fact that the user waits for"
    ASK = "asks for a slot"
    REMARK = "says something true or untrue that was not asked for"
    NOTHING = "says nothing that a user understands"


@lru_cache(maxsize=2**16)
def read(service: int, utterance: str) -> Heard:
    """Takes an utterance apart. Case does not matter, and a figure is as good as a word."""
    words, names = _lexicon(service)
    entity, says = ANY, []
    for word in words.findall(utterance):
        slot, value = names.get(word.lower(), (FACTS, ANY))  # a number that nobody has is a wrong one
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
    """The agent's wordings of one thing; :func:`read` takes them back to it.

    Args:
        service: the desk's.
        heard: what is said: one thing alone.
        accepted: the entity that is spoken of; ``ANY`` for none.
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
    """Which move an utterance makes: the first one that is in it.

    Args:
        heard: what it says.
        accepted: the entity that the user has taken; ``ANY`` for none.
        pending: the fact that the user waits for; ``ANY`` for none.
        none_fits: whether no entity has all that the user wants; to deny goes before asking only then.
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
    """What a question about each constraint and each part of a booking holds."""
    return tuple(re.compile(rf"\b(?:{slot.heard})\b", re.IGNORECASE) for slot in services()[service].slots[:FACTS])


@cache
def _lexicon(service: int) -> tuple[re.Pattern[str], dict[str, tuple[int, int]]]:
    """Every name and value as a pattern, and what each stands for: a slot, -1 for an entity, and a value."""
    desk = services()[service]
    names = {name.lower(): (-1, entity) for entity, name in enumerate(desk.names)}
    for number, slot in enumerate(desk.slots):
        names |= {value.lower(): (number, i) for i, value in enumerate(slot.values)}
    names |= {digit: names[word] for digit, word in _DIGITS.items() if word in names}
    return re.compile(rf"\b(?:{'|'.join(names)}|\d\d+)\b", re.IGNORECASE), names
