"""The built-in corpus: artificial dialogues with service desks, which need no files.

The dialogues are about eight services. The agent asks for what is missing, answers questions, sums up and books. The
context determines what the agent should say: for example, the hotel that is cheap and in the north is the same in all
dialogues. The context does not determine the wording. Every meaning has tens of wordings, so a correct reply in other
words rarely matches the logged one exactly, but it has the same meaning.

The corpus does not replace human text. People use far more wordings, and the users here are always clear. No policy
that does well here has been shown to do well on MultiWOZ.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lang_envs.corpora.dialogues.dialogue import Dialogue

NUM_DIALOGUES = 3_000
_FILE = Path(__file__).with_suffix(".toml")
_CHOICES = re.compile(r"\[([^\]]*)\]")
_QUESTION = ("can", "could", "do", "how", "when", "where")  # words that open a question
_DRAWS = 512  # uniform numbers that are drawn for a dialogue; it uses far fewer

Draw = Callable[[int], int]
"""n -> a random number from 0 to n - 1"""
Wordings = tuple[str, ...]


class Slot(NamedTuple):
    """A slot whose value the agent needs to know."""

    values: tuple[str, ...]
    mention: Wordings
    ask: Wordings
    answer: Wordings


class Aside(NamedTuple):
    """A question that a user may ask in between, with its answer."""

    question: Wordings
    answer: Wordings


class Fact(NamedTuple):
    """A fact that follows from the values of slots."""

    of: tuple[str, ...]
    values: tuple[str, ...]


@dataclass(frozen=True)
class Service:
    """One kind of business, as ``service.toml`` describes it."""

    wish: Wordings
    slots: dict[str, Slot]
    check: Wordings
    done: Wordings
    asides: tuple[Aside, ...]
    facts: dict[str, Fact]


class Phrases(NamedTuple):
    """The content of ``service.toml``: the services, and the wordings that all of them share."""

    services: dict[str, Service]
    common: dict[str, Wordings]


class Meaning(NamedTuple):
    """The meaning of a turn: for each of its parts the filled-in wordings."""

    parts: tuple[Wordings, ...]
    slots: dict[str, str]

    def say(self, draw: Draw) -> str:
        """The meaning in drawn words."""
        said = (_worded(part[draw(len(part))], draw).format_map(self.slots) for part in self.parts)
        text = " ".join(part for part in said if part)
        return text[:1].upper() + text[1:]


class Conversation(NamedTuple):
    """A dialogue and the meaning of each of its turns."""

    dialogue: Dialogue
    meanings: tuple[Meaning, ...]


@lru_cache(maxsize=4)
def conversations(num_dialogues: int = NUM_DIALOGUES, seed: int = 0) -> tuple[Conversation, ...]:
    """Distinct conversations; a smaller number with the same seed gives the first of them.

    Raises:
        ValueError: ``num_dialogues`` is not positive.
    """
    if num_dialogues < 1:
        raise ValueError(f"num_dialogues must be at least 1, got {num_dialogues}")
    rng, names = np.random.default_rng(seed), list(_phrases().services)
    found: dict[tuple[tuple[str, str], ...], Conversation] = {}
    while len(found) < num_dialogues:
        name = names[int(rng.integers(len(names)))]
        draw = _drawing(rng)
        said = [
            (speaker, meaning, _spoken(speaker, meaning, draw))
            for speaker, meaning in _acts(_phrases().services[name], draw)
        ]
        turns = tuple((speaker, text) for speaker, _, text in said)
        dialogue = Dialogue(f"{name}-{len(found):05d}", turns)
        found.setdefault(turns, Conversation(dialogue, tuple(meaning for _, meaning, _ in said)))
    return tuple(found.values())


def read(num_dialogues: int = NUM_DIALOGUES, seed: int = 0) -> Iterator[Dialogue]:
    """The dialogues of :func:`conversations`."""
    return (conversation.dialogue for conversation in conversations(num_dialogues, seed))


def drawing(rng: np.random.Generator) -> Draw:
    """A source of random numbers that are drawn one at a time."""
    return lambda n: int(rng.integers(n))


def _drawing(rng: np.random.Generator) -> Draw:
    """As :func:`drawing`, from numbers that are drawn all at once, which is several times as fast."""
    uniform = iter(rng.random(_DRAWS).tolist())
    return lambda n: int(next(uniform) * n)


def _acts(service: Service, draw: Draw) -> Iterator[tuple[str, Meaning]]:
    """The speaker and the meaning of each turn of one dialogue."""
    common = _phrases().common
    slots = {name: slot.values[draw(len(slot.values))] for name, slot in service.slots.items()}
    if slots.get("goal") == slots.get("start", ""):  # a goal must differ from the start
        values = service.slots["goal"].values
        slots["goal"] = values[(values.index(slots["goal"]) + 1) % len(values)]
    if draw(3) == 0:
        yield "agent", Meaning((common["greeting"],), {})
    known = [name for name in service.slots if draw(3) == 0][: len(service.slots) - 1]
    yield "user", Meaning((service.wish, *(service.slots[name].mention for name in known)), slots)
    noted: tuple[Wordings, ...] = (common["noted"],)
    for name in (name for name in service.slots if name not in known):
        slot = service.slots[name]
        yield "agent", Meaning((*noted, slot.ask), slots)
        if draw(8) == 0:
            question, answer = service.asides[draw(len(service.asides))]
            yield "user", Meaning((question,), slots)
            yield "agent", Meaning((answer, slot.ask), slots)
        yield "user", Meaning((slot.answer,), {"it": slots[name]})
    yield from _conclusion(service, slots, draw)


def _conclusion(service: Service, slots: dict[str, str], draw: Draw) -> Iterator[tuple[str, Meaning]]:
    common = _phrases().common
    yield "agent", Meaning((service.check,), _with_facts(service, slots))
    outcome = draw(10)
    if outcome == 0:
        yield "user", Meaning((common["no"],), {})
        yield "agent", Meaning((common["dropped"],), {})
        return
    if outcome <= 3:
        name = list(slots)[draw(len(slots))]
        other = [value for value in service.slots[name].values if value not in slots.values()]
        slots = {**slots, name: other[draw(len(other))]}
        yield (
            "user",
            Meaning((common["change"],), {"it": _worded(service.slots[name].answer[0], draw).format(it=slots[name])}),
        )
        yield "agent", Meaning((common["changed"], service.check), _with_facts(service, slots))
    yield "user", Meaning((common["yes"],), {})
    yield "agent", Meaning((service.done,), _with_facts(service, slots))
    if draw(4) == 0:
        question, answer_ = service.asides[draw(len(service.asides))]
        yield "user", Meaning((question,), slots)
        yield "agent", Meaning((answer_,), slots)
    yield "user", Meaning((common["thanks"],), {})
    yield "agent", Meaning((common["closing"],), {})


def _with_facts(service: Service, slots: dict[str, str]) -> dict[str, str]:
    """The slots and the facts that follow from them."""
    facts = {}
    for name, fact in service.facts.items():
        place = 0
        for slot in fact.of:
            among = service.slots[slot].values
            place = place * len(among) + among.index(slots[slot])
        facts[name] = fact.values[place % len(fact.values)]
    return slots | facts


def _spoken(speaker: str, meaning: Meaning, draw: Draw) -> str:
    text = meaning.say(draw)
    if speaker == "agent":
        return text
    if draw(4) == 0:  # some users type without capitals
        return text.lower()
    if text.endswith("?"):
        return text
    return text + ("?" if text.partition(" ")[0].lower() in _QUESTION else ".")


@cache
def pieces(wording: str) -> tuple[tuple[str, ...], ...]:
    """The alternatives of each piece of a wording."""
    return tuple(tuple(piece.split("|")) for piece in _CHOICES.split(wording))


def _worded(wording: str, draw: Draw) -> str:
    return "".join(piece[0] if len(piece) == 1 else piece[draw(len(piece))] for piece in pieces(wording))


@cache
def _phrases() -> Phrases:
    found = tomllib.loads(_FILE.read_text(encoding="utf-8"))
    shared, services = found.pop("slots"), found.pop("services")
    common = {name: tuple(wordings) for name, wordings in found.items()}
    return Phrases({name: _service(table, shared) for name, table in services.items()}, common)


def _service(table: dict[str, Any], shared: dict[str, Any]) -> Service:
    slots = {name: table.get("slots", {}).get(name) or shared[name] for name in table["needs"]}
    return Service(
        wish=tuple(table["wish"]),
        slots={name: Slot(**_tuples(slot)) for name, slot in slots.items()},
        check=tuple(table["check"]),
        done=tuple(table["done"]),
        asides=tuple(Aside(**_tuples(aside)) for aside in table["asides"]),
        facts={name: Fact(**_tuples(fact)) for name, fact in table.get("facts", {}).items()},
    )


def _tuples(table: dict[str, list[str]]) -> dict[str, tuple[str, ...]]:
    return {name: tuple(values) for name, values in table.items()}
