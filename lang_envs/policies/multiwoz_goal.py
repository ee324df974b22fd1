"""Scripted agents for :class:`~lang_envs.tasks.multiwoz_goal.MultiWOZGoal`.

They use only the history: the look-up that is shown before their turn, and the customer's words, which rules interpret.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lang_envs.conversation import Conversation
from lang_envs.corpora.multiwoz.values import OFFERED
from lang_envs.policies.any_task import Generators, Histories
from lang_envs.rollout import Turn
from lang_envs.speech import Speech
from lang_envs.tasks.multiwoz_goal import MultiWOZGoal
from lang_envs.tasks.multiwoz_lookup import IMPOSSIBLE, INCOMPLETE, Lookup, read
from lang_envs.utterances import spell

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

_MOST_HISTORIES = 2**13
_FEW = 3  # the agent offers a place if the look-up has found at most this many
_MOST_QUESTIONS = 2  # most turns with questions about what to look for, for one need
_NEEDED = {
    "restaurant": ("food", "area", "pricerange"),
    "hotel": ("area", "pricerange", "type", "stars", "parking", "internet"),
    "attraction": ("type", "area"),
    "train": ("departure", "destination", "day", "leaveAt", "arriveBy"),
    "taxi": ("departure", "destination", "leaveAt", "arriveBy"),
}
_DETAILS = {"restaurant": ("people", "day", "time"), "hotel": ("people", "day", "stay"), "train": ("people",)}
_QUESTIONS = {
    "food": ("What type of food would you like?", "Which cuisine do you prefer?"),
    "area": ("Which area should it be in?", "What part of town would you like?"),
    "pricerange": ("What price range are you looking for?", "Do you have a price range in mind?"),
    "type": ("What type of place are you looking for?", "Which kind of place would you like?"),
    "stars": ("How many stars should it have?",),
    "parking": ("Do you need parking?",),
    "internet": ("Do you need internet?",),
    "departure": ("Where will you be departing from?",),
    "destination": ("What is your destination?",),
    "day": ("On which day?", "What day would you like?"),
    "leaveAt": ("What departure time would you like?",),
    "arriveBy": ("By when do you need to arrive?",),
    "people": ("For how many people?",),
    "time": ("At what time?",),
    "stay": ("For how many nights?",),
}
_WANTS = {
    "phone": r"phone|contact|\bnumber\b(?! of)",
    "address": r"address|where is it|located",
    "postcode": r"post ?code|zip",
    "area": r"\barea\b|part of town|side of town",
    "food": r"\b(kind|type|sort)s? of food|what (food|cuisine)|food type",
    "pricerange": r"price ?range|expensive|pric(e|ing)",
    "type": r"\btypes?\b|kind of (place|attraction|hotel)",
    "stars": r"\bstars?\b",
    "parking": r"parking",
    "internet": r"internet|wi-?fi",
    "entrance fee": r"\bfees?\b|entrance|entry|cost|charge|admission|price",
    "duration": r"travel time|duration|how long|ride take",
    "price": r"price|cost|how much|fare|fee",
    "leaveAt": r"(time|when).{0,30}(leav|depart)|departure time|leave time",
    "arriveBy": r"(time|when).{0,30}arriv|arrival",
    "trainID": r"\bi ?d\b|train number",
    "car type": r"car|type|vehicle",
}
_WANTED = {slot: re.compile(pattern) for slot, pattern in _WANTS.items()}
_ATTRIBUTES = {
    "restaurant": ("phone", "address", "postcode", "area", "food", "pricerange"),
    "hotel": ("phone", "address", "postcode", "area", "type", "pricerange", "stars", "parking", "internet"),
    "attraction": ("phone", "address", "postcode", "area", "type", "entrance fee"),
    "train": ("trainID", "duration", "price", "leaveAt", "arriveBy"),
    "taxi": ("car type", "phone"),
    "police": ("phone", "address", "postcode"),
    "hospital": ("phone", "address", "postcode"),
}
_SAYS = {
    "phone": "the phone number is {}",
    "address": "the address is {}",
    "postcode": "the postcode is {}",
    "area": "it is in the {}",
    "food": "it serves {} food",
    "pricerange": "the price range is {}",
    "type": "the type is {}",
    "stars": "it has {} stars",
    "entrance fee": "the entrance fee is {}",
    "duration": "it takes {}",
    "price": "it costs {}",
    "leaveAt": "it leaves at {}",
    "arriveBy": "it arrives at {}",
    "trainID": "the train is {}",
    "car type": "the car is a {}",
}
_OFFERS = ("I recommend {}.", "How about {}?", "{} would be a good choice.")


class Reading(NamedTuple):
    """What an agent reads from a history."""

    shown: Lookup
    words: str
    """the customer's last words, in lower case"""
    said: str
    """all that the agent said about the current need, in lower case"""
    questions: int
    """number of these turns that asked something"""
    turns: int
    """number of these turns"""


class Expert:
    """Asks for what is missing, offers what was found, answers questions, and gives the references of bookings."""

    def __init__(self, task: MultiWOZGoal, tokenizer: PreTrainedTokenizerFast | None = None) -> None:
        self.task, self._tokenizer = task, task.tokenizer() if tokenizer is None else tokenizer
        self._speech = Speech(task, self._tokenizer)
        self._read = lru_cache(maxsize=_MOST_HISTORIES)(self._reading)

    def act(self, histories: Histories, rngs: Generators) -> list[Turn]:
        """One turn in each conversation.

        Raises:
            ValueError: a history shows no look-up.
        """
        limit = self.task.max_utterance_tokens
        said = (self.say(self._read(h.tobytes()), rng) for h, rng in zip(histories, rngs, strict=True))
        return [Turn(spell(self._tokenizer, text, limit)) for text in said]

    def say(self, reading: Reading, rng: np.random.Generator) -> str:
        """What it says."""
        shown = reading.shown
        if shown.domain in OFFERED and not shown.number:
            return f"I am sorry, there is no {shown.domain} that matches. Would you like something else?"
        if shown.booking == IMPOSSIBLE:
            return "I am sorry, that booking is not available. Would you like to try something else?"
        parts = self.service(reading)
        if shown.domain in OFFERED and shown.name.lower() not in reading.said:
            missing = _missing(shown)
            if shown.number > _FEW and missing and reading.questions < _MOST_QUESTIONS and "name" not in shown.told:
                return _asked(missing[:2], rng)
            parts.insert(0, _any(_OFFERS, rng).format(shown.name))
        elif shown.domain == "taxi" and not shown.name:
            return _asked(_missing(shown)[:2], rng) if _missing(shown) else "Where and when shall the taxi pick you up?"
        if shown.booking == INCOMPLETE:
            parts.append(_asked([slot for slot in _DETAILS.get(shown.domain, ()) if slot not in shown.details], rng))
        return " ".join(part for part in parts if part) or _sentence(_all(shown))

    def service(self, reading: Reading) -> list[str]:
        """Sentences with the reference of a booking that was not told yet, and with what the customer asks about."""
        shown, parts = reading.shown, []
        if shown.booking not in ("", INCOMPLETE, IMPOSSIBLE) and shown.booking.lower() not in reading.said:
            parts.append(f"It is booked. The reference number is {shown.booking}.")
        slots = [slot for slot in _ATTRIBUTES.get(shown.domain, ()) if _WANTED[slot].search(reading.words)]
        parts.append(_sentence([_told(slot, shown) for slot in slots]))
        return parts

    def _reading(self, history: bytes) -> Reading:
        [turns] = self._speech.read([np.frombuffer(history, np.int32)])
        return reading_of(turns)


class OpensWell(Expert):
    """Opens as the expert does and ends badly: it answers no question and books without a reference."""

    def service(self, reading: Reading) -> list[str]:
        """Sentences that do not answer what was asked."""
        shown = reading.shown
        if shown.booking not in ("", INCOMPLETE, IMPOSSIBLE):
            return ["It is booked. Is there anything else?"]
        return (
            ["You will like it. Is there anything else I can do for you?"] if shown.name.lower() in reading.said else []
        )


class EndsWell(Expert):
    """Opens badly and ends as the expert does: for each need it first asks what it was told, then offers any place."""

    def say(self, reading: Reading, rng: np.random.Generator) -> str:
        """What it says."""
        shown = reading.shown
        told = [slot for slot in shown.told if slot in _QUESTIONS]
        if reading.turns == 0 and told:
            return _asked(told[:1], rng)
        if reading.turns == 1 and shown.domain in OFFERED and "name" not in shown.told:
            entities = self.task.database.entities[shown.domain]
            return _any(_OFFERS, rng).format(entities[int(rng.random() * len(entities))].name)
        return super().say(reading, rng)


def reading_of(turns: Conversation) -> Reading:
    """What an agent reads from a conversation.

    Raises:
        ValueError: the conversation shows no look-up.
    """
    shown, words, said = None, "", list[str]()
    for role, text in turns:
        if role == "assistant":
            said.append(text.lower())
            continue
        found, rest = _split(text)
        if found is not None:
            if shown is not None and (found.domain != shown.domain):
                said = []
            shown = found
        words = rest.lower() if rest else words
    if shown is None:
        raise ValueError(f"the history shows no look-up of the database: {turns!r}")
    asked = sum(text.rstrip().endswith("?") and not re.search("recommend|how about", text) for text in said)
    return Reading(shown, words, " ".join(said), asked, len(said))


def _split(text: str) -> tuple[Lookup | None, str]:
    """The look-up at the beginning of a message, where some templates put it, and the customer's words after it."""
    if (found := read(text)) is not None:
        return found, ""
    first, _, rest = text.partition("\n")
    found = read(first.strip())
    return (found, rest.strip()) if found is not None else (None, text)


def _missing(shown: Lookup) -> list[str]:
    told = shown.told
    timed = any(told.get(slot, "any") != "any" for slot in ("leaveAt", "arriveBy"))
    return [
        slot
        for slot in _NEEDED.get(shown.domain, ())
        if slot not in told and not (timed and slot in ("leaveAt", "arriveBy"))
    ]


def _asked(slots: Sequence[str], rng: np.random.Generator) -> str:
    return " ".join(_any(_QUESTIONS[slot], rng) for slot in slots)


def _told(slot: str, shown: Lookup) -> str:
    if slot == "trainID":
        return _SAYS[slot].format(shown.name)
    value = shown.facts.get(slot) or shown.told.get(slot)
    if value is None or value == "any":
        return f"the {slot} is not known"
    if slot in ("parking", "internet"):
        return f"it has {'free' if value == 'yes' else 'no'} {slot}"
    return _SAYS[slot].format(value)


def _all(shown: Lookup) -> list[str]:
    return [_told(slot, shown) for slot in _ATTRIBUTES.get(shown.domain, ())[:4]]


def _sentence(parts: Sequence[str]) -> str:
    text = ", ".join(parts)
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def _any(texts: Sequence[str], rng: np.random.Generator) -> str:
    return texts[int(rng.random() * len(texts))]


AGENTS: Mapping[str, type[Expert]] = {"expert": Expert, "opens-well": OpensWell, "ends-well": EndsWell}
"""The agents by their names in data sets."""
