"""The words of the simulated customer: user turns of the corpus as templates with slots, and fixed phrases."""

from __future__ import annotations

import re
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lang_envs.corpora.multiwoz.annotated import Annotated, Turn
from lang_envs.corpora.multiwoz.database import Database
from lang_envs.corpora.multiwoz.values import DONTCARE, normalised
from lang_envs.rewards.multiwoz_mentions import Reader

_FILE = Path(__file__).with_name("multiwoz_phrases.toml")
_SLOT_OF = {
    "Area": "area",
    "Food": "food",
    "Price": "pricerange",
    "Name": "name",
    "Type": "type",
    "Stars": "stars",
    "Parking": "parking",
    "Internet": "internet",
    "Dest": "destination",
    "Depart": "departure",
    "Leave": "leaveAt",
    "Arrive": "arriveBy",
    "Day": "day",
    "People": "people",
    "Stay": "stay",
    "Time": "time",
    "Phone": "phone",
    "Addr": "address",
    "Post": "postcode",
    "Fee": "entrance fee",
    "Id": "trainID",
    "Ticket": "price",
    "Ref": "reference",
    "Car": "car type",
    "none": "none",
}
_BOOKED = {"restaurant": ("people", "day", "time"), "hotel": ("people", "day", "stay"), "train": ("people",)}
_OPENS_WITH = {
    "restaurant": r"restaurant|place to eat|dining|food|eat\b",
    "hotel": r"hotel|place to stay|guest ?house|lodging|accommodation|room",
    "attraction": r"attraction|places? to go|place to visit|museum|college|things to do|entertainment",
    "train": r"\btrain",
    "taxi": r"\btaxi|\bcab\b",
}
_SPOKEN = {
    "pricerange": "price range",
    "leaveAt": "departure time",
    "arriveBy": "arrival time",
    "internet": "internet",
    "book stay": "length of the stay",
}
_MOST_WORDS = 24
_BLANKS = (" .", " ,", " ?", " !", " 'd", " 'm", " 's", " n't", " 'll", " 've", " 're")  # as the corpus spaces them
_ELSEWHERE = re.compile(
    r"\d|\b(monday|tuesday|wednesday|thursday|friday|saturday|sunday|tomorrow|today"
    r"|north|south|east|west|centre|center|cambridge|cheap|moderate\w*|expensive"
    r"|same|instead|else|another|other|both|these|those|one of them|the (hotel|restaurant)|that restaurant|yes|no|also"
    r"|wifi|parking|internet|reference|book\w*|reserv\w*|phone|numbers?|address|post ?code|fees?"
    r"|first|two|three|four|five|six|seven|eight"
    r"|matter|preference|prefer\w*|either|suggest\w*|recommend\w*|surprise|don't|do n't|didn't"
    r"|museums?|colleges?|galler\w+|guest ?houses?|night ?clubs?|theat\w+|cinemas?|chinese|indian|italian|british)\b"
)
_NO_MATTER = r"matter|preference|prefer\w*|either|don't|do n't"
_MAY_SAY = {
    "phone": "phone|numbers?",
    "address": "address",
    "postcode": "post ?code",
    "entrance fee": "fees?",
    "parking": "parking",
    "internet": r"wifi|internet",
    "reference": r"reference|book\w*|reserv\w*|numbers?",
}


class Act(NamedTuple):
    """One act of the customer."""

    kind: str
    """ "inform", "request", or one of the phrases of ``[say]`` """
    slot: str = ""
    """the slot; details of a booking are called "book day" and the like"""
    value: str = ""


Key = tuple[str, bool, frozenset[str]]


class Words:
    """Says acts in words that people used for the same acts.

    Args:
        dialogues: the dialogues whose user turns become templates. A turn is used if it is about one domain and says
            nothing besides its acts.
        database: the database; a template must not contain one of its names.
    """

    def __init__(self, dialogues: Iterable[Annotated], database: Database) -> None:
        self._reader = Reader(database)
        found: dict[Key, dict[str, None]] = defaultdict(dict)
        for annotated in dialogues:
            seen: set[str] = set()
            for (who, _), turn in zip(annotated.dialogue.turns, annotated.turns, strict=True):
                domains = {act.intent.partition("-")[0].lower() for act in turn.acts} - {"general", "booking"}
                if who == "user" and len(domains) == 1:
                    (domain,) = domains
                    if (made := self._template(domain, domain not in seen, turn)) is not None:
                        found[made[0]][made[1]] = None
                seen |= domains
        self.templates = {key: tuple(texts) for key, texts in found.items()}

    def say(self, domain: str, opens: bool, acts: Sequence[Act], rng: np.random.Generator) -> str:
        """The acts in words: in one sentence of the corpus if it has a template for all of them, else one by one."""
        values = {act.slot: act.value for act in acts}
        about = [act for act in acts if act.kind in ("inform", "request")]
        texts = [_any(phrases()["say"][act.kind], rng) for act in acts if act.kind not in ("inform", "request")]
        if (known := self.templates.get((domain, opens, frozenset(map(_key, about))))) and about:
            said = _any(known, rng)
            return " ".join([*texts, said if "{" not in said else _filled(said, values)])
        if opens:
            bare = self.templates.get((domain, True, frozenset({"inform none"})), ()) + tuple(phrases()["open"][domain])
            texts.append(_any(bare, rng))
        return " ".join([*texts, *(self._alone(domain, act, rng) for act in about)])

    def _alone(self, domain: str, act: Act, rng: np.random.Generator) -> str:
        known = self.templates.get((domain, False, frozenset({_key(act)})))
        if known:
            return _filled(_any(known, rng), {act.slot: act.value})
        if act.kind == "inform" and act.value == DONTCARE:
            slot = _SPOKEN.get(act.slot, act.slot.removeprefix("book "))
            return _any(phrases()["dontcare"]["any"], rng).replace("{value}", slot)
        return _any(phrases()[act.kind][act.slot], rng).replace("{value}", act.value)

    def _template(self, domain: str, opens: bool, turn: Turn) -> tuple[Key, str] | None:
        """The key and the template of a user's turn; None if the turn says more than its acts."""
        words, keys, spared = turn.text.split(), set(), []
        for act in turn.acts:
            slot = _SLOT_OF.get(act.slot)
            if slot is None or act.intent.startswith(("general", "Booking")):
                return None
            if slot in _BOOKED.get(domain, ()):
                slot = f"book {slot}"
            kind = "request" if act.intent.endswith("Request") else "inform"
            if (domain, kind, slot) == ("train", "request", "time"):
                slot = "duration"
            value = normalised(slot, act.value)
            spared.append(_NO_MATTER if value == DONTCARE else _MAY_SAY.get(slot, "$^"))
            if kind == "request" or slot == "none" or value == DONTCARE or slot in ("parking", "internet"):
                keys.add(_key(Act(kind, slot, value)))
                continue
            spans = [s for s in turn.spans if (s.intent, s.slot) == (act.intent, act.slot) and s.last < len(words)]
            if len(spans) != 1 or f"inform {slot}" in keys:
                return None
            words[spans[0].first : spans[0].last + 1] = ["{" + slot + "}", *[""] * (spans[0].last - spans[0].first)]
            keys.add(f"inform {slot}")
        text = " ".join(word for word in words if word)
        return (
            ((domain, opens, frozenset(keys)), _joined(text)) if self._is_clean(text, domain, opens, spared) else None
        )

    def _is_clean(self, text: str, domain: str, opens: bool, spared: list[str]) -> bool:
        bare = re.sub("|".join(spared), " ", re.sub(r"\{[^}]*\}", " ", text.lower()))
        others = (words for other, words in _OPENS_WITH.items() if other != domain)
        return (
            0 < len(text.split()) <= _MOST_WORDS
            and not _ELSEWHERE.search(bare)
            and not self._reader.read(bare).offers
            and (not opens or re.search(_OPENS_WITH.get(domain, ""), bare) is not None)
            and (domain == "taxi" or not any(re.search(rf"\b({words})", bare) for words in others))
        )


def _key(act: Act) -> str:
    is_of_the_words = act.value == DONTCARE or (act.kind == "inform" and act.slot in ("parking", "internet"))
    return f"{act.kind} {act.slot}={act.value}" if is_of_the_words else f"{act.kind} {act.slot}"


def _filled(text: str, values: Mapping[str, str]) -> str:
    for slot, value in values.items():
        text = text.replace("{" + slot + "}", value)
    return text.replace("the the ", "the ").replace("The the ", "The ")


def _joined(text: str) -> str:
    """Text without the blanks that the corpus puts before punctuation and clitics."""
    for apart in _BLANKS:
        text = text.replace(apart, apart[1:])
    return text[:1].upper() + text[1:]


def _any(texts: Sequence[str], rng: np.random.Generator) -> str:
    return texts[int(rng.random() * len(texts))]


@cache
def phrases() -> dict[str, dict[str, tuple[str, ...]]]:
    """All of ``multiwoz_phrases.toml``."""
    read = tomllib.loads(_FILE.read_text(encoding="utf-8"))
    return {kind: {slot: tuple(texts) for slot, texts in table.items()} for kind, table in read.items()}
