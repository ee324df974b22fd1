"""Normalises the values of slots, so that they can be compared."""

from __future__ import annotations

import re
from functools import lru_cache

DOMAINS = ("restaurant", "hotel", "attraction", "train", "taxi", "police", "hospital")
OFFERED = ("restaurant", "hotel", "attraction", "train")
"""domains in which an entity of the database is offered; in the others there is nothing to choose"""
TIMES = ("leaveAt", "arriveBy", "time")
DONTCARE = "dontcare"

_DONTCARE = {"dontcare", "don't care", "dont care", "do n't care", "do not care", "doesn't matter", "any", "anything"}
_UNSAID = {"", "?", "none", "not mentioned", "not given"}
_SPELLINGS = {
    "center": "centre",
    "city center": "centre",
    "centre of town": "centre",
    "center of town": "centre",
    "town centre": "centre",
    "moderately priced": "moderate",
    "moderately": "moderate",
    "guest house": "guesthouse",
    "guest houses": "guesthouse",
    "guesthouses": "guesthouse",
    "hotels": "hotel",
    "swimming pool": "swimmingpool",
    "night club": "nightclub",
    "concert hall": "concerthall",
    "museums": "museum",
    "colleges": "college",
    "theater": "theatre",
    "free": "yes",
    "barbecue": "barbeque",
    "mutiple sports": "multiple sports",
}
_CLOCK = re.compile(r"(\d{1,2})[:.](\d{2})(?:\s*([ap])\.?m\.?)?")
_NO_WORD = re.compile(r"[^\w ]+")


@lru_cache(maxsize=2**16)
def normalised(slot: str, value: str) -> str:
    """The value of a slot in its normal spelling: ``DONTCARE`` if any value will do, empty if there is none.

    >>> normalised("area", "Center"), normalised("leaveAt", "8:05"), normalised("name", "The Gardenia")
    ('centre', '08:05', 'gardenia')
    """
    value = " ".join(value.lower().split())
    if value in _UNSAID:
        return ""
    if value in _DONTCARE:
        return DONTCARE
    if slot in TIMES:
        at = minutes(value)
        return value if at is None else f"{at // 60:02d}:{at % 60:02d}"
    if slot in ("name", "departure", "destination", "address", "department"):
        return named(value)
    if slot == "entrance fee":
        return value
    return _SPELLINGS.get(value, value)


def minutes(clock: str) -> int | None:
    """Minutes since midnight of a time such as "05:11" or "5:11 pm"; None if the text is not a time."""
    found = _CLOCK.fullmatch(clock.strip().lower())
    if found is None:
        return None
    hour, minute, half = int(found[1]), int(found[2]), found[3]
    if half is not None:
        hour = hour % 12 + 12 * (half == "p")
    return None if minute > 59 else 60 * hour + minute


@lru_cache(maxsize=2**16)
def named(text: str) -> str:
    """A name, or a text that may hold names, in the form in which names are compared.

    That is: lower case, without punctuation and a leading "the", and with "guest house" and the like as one word.
    """
    text = (
        text.lower().replace("&", " and ").replace("guest house", "guesthouse").replace("b and b", "bed and breakfast")
    )
    text = _NO_WORD.sub(" ", text.replace(" 's", "s").replace("'s", "s").replace("'", "").replace("-", " "))
    return " ".join(text.split()).removeprefix("the ")
