"""Parses questions about built-in scenes: a question asks for one fact, openly or for yes or no, in many wordings."""

from __future__ import annotations

import re
from dataclasses import dataclass

from lang_envs.corpora.scenes.facts import COLOURS, ENTITIES, FACTS, INDOORS, NONE, OUTDOORS, Entity
from lang_envs.corpora.scenes.words import is_question, words_of


@dataclass(frozen=True)
class Question:
    """The content of a question.

    Attributes:
        fact: a name in :data:`lang_envs.corpora.scenes.facts.FACTS`.
        values: the question is whether the fact has one of these values; empty for an open question.
        needs: the fact and the value that the question presupposes ("the dog"). If the scene does not have it, the
            answer says so. Two empty strings if it presupposes nothing.
    """

    fact: str
    values: tuple[str, ...] = ()
    needs: tuple[str, str] = ("", "")

    @property
    def is_open(self) -> bool:
        """Whether the question asks for the value and not for yes or no."""
        return not self.values


_GLOBAL = ("place", "weather", "time", "photo", "view", "face", "glasses", "holding", "activity", "motion")
"""Facts whose values are understood without an entity."""
_GROUPS = (
    (r"\b(inside|indoors?)\b", "place", INDOORS),
    (r"\b(outside|outdoors?)\b", "place", OUTDOORS),
    (r"\b(alone|by (him|her)self|only (person|one))\b", "people", ("1",)),
    (r"\b(other|more|else|others|another)\b.*\b(people|person|anyone|anybody)\b", "people", ("2", "3", "4", "5")),
    (r"\b(anyone|anybody) else\b", "people", ("2", "3", "4", "5")),
    (r"\bmany people\b", "people", ("3", "4", "5")),
    (r"\b(old|elderly|older)\b", "age", ("70",)),
    (r"\b(young|younger)\b", "age", ("5", "10", "25")),
    (r"\badults?\b", "age", ("25", "45", "70")),
    (r"\b(bright|light out)\b", "time", ("day",)),
    (r"\bdark (outside|out)\b", "time", ("night",)),
    (r"\b(happy|having fun|good mood)\b", "face", ("smiling",)),
    (r"\bin (full )?color\b", "photo", ("color",)),
    (r"\bblack and white\b", "photo", ("black and white",)),
    (r"\bzoomed in\b", "view", ("close up",)),
)
"""Whole phrases and the values they stand for, in yes-or-no questions."""
_OPEN = (
    (r"\b(where|location|what room|which room|place|setting|scene)\b", "place"),
    (r"\bweather\b", "weather"),
    (r"\b(time of|what time|when)\b", "time"),
    (r"\b(how old|what age|age)\b", "age"),
    (r"\bwearing on (his|her|their) head\b|\bon (his|her|their) head\b", "hat"),
    (r"\bglasses\b", "glasses"),
    (r"\bwear(ing)?\b", "shirt"),
    (r"\b(holding|carrying|hand|hands|hold)\b", "holding"),
    (r"\beating\b(?!.*\bdoing\b)", "food"),
    (r"\bdrink(ing)?\b", "drink"),
    (r"\b(expression|mood|feeling|face)\b", "face"),
    (r"\b(gender|who|sex)\b", "person"),
    (r"\b(playing with|toy)\b", "toy"),
    (r"\bsitting (on|in)\b", "seat"),
    (r"\bon the table\b", "food"),
    (r"\b(close|far|angle|distance)\b", "view"),
)
"""The patterns by which open questions are recognised, besides entities."""
_EXISTS = re.compile(r"\b(there|any|see|it|visible)\b.*\b(people|person|anyone|anybody|someone|human|child|adult)\b")
"""Asks whether a person is there; other questions about an unknown "him" or "them" have no answer."""


def parse(text: str) -> Question | None:
    """The content of a question; None if these scenes cannot answer it."""
    words = words_of(text)
    if not is_question(words):
        return None
    plain = f" {' '.join(words)} "  # so that a word is found with the blanks around it
    entities = _entities(plain)
    if re.search(r"\b(what|which|whats|color of|number of)\b", plain) or words[0] in (
        "how",
        "where",
        "who",
        "when",
        "whose",
    ):
        return _open(plain, entities)
    return _yes_or_no(plain, entities)


def _entities(plain: str) -> list[tuple[Entity, str]]:
    """The entities that the question names, in the order of ``ENTITIES``, each with its kind if the question has it."""
    found = []
    for entity in ENTITIES.values():
        kind = next((v for v in FACTS.get(entity.kind, ()) if v not in (NONE, *_vague(entity)) and _has(plain, v)), "")
        if kind or any(_has(plain, word) for word in entity.words):
            found.append((entity, kind))
    return found


def _vague(entity: Entity) -> tuple[str, ...]:
    """The kinds that are adjectives or numbers and do not name the entity."""
    return FACTS[entity.kind] if entity.kind in ("table", "grass", "fence", "trees", "windows") else ()


def _has(plain: str, phrase: str) -> bool:
    return f" {phrase} " in plain


def _open(plain: str, entities: list[tuple[Entity, str]]) -> Question | None:
    if re.search(r"\bcolor\b", plain):
        return next((_about(e, kind, e.colour) for e, kind in entities if e.colour), None)
    if re.search(r"\b(how many|number of|how much)\b", plain):
        return next((_about(e, kind, e.count) for e, kind in reversed(entities) if e.count), None)
    if _has(plain, "doing"):
        animal = next((Question("animal activity", (), _needs(e, k)) for e, k in entities if e.kind == "animal"), None)
        return animal or Question("activity")
    if re.search(r"\bmade (of|out)\b", plain):
        return next((Question(e.attributes[0]) for e, _ in entities if e.attributes and not e.colour), None)
    fact = next((fact for pattern, fact in _OPEN if re.search(pattern, plain)), None)
    if fact is not None:
        return Question(fact)
    for entity, _ in entities:
        if entity.kind or len(entity.attributes) == 1:
            return Question(entity.kind or entity.attributes[0])
    return None


def _about(entity: Entity, kind: str, fact: str) -> Question:
    """An open question about one fact of an entity; "how many dogs" presupposes that there are dogs."""
    return Question(fact, (), ("", "") if fact == entity.kind else _needs(entity, kind))


def _needs(entity: Entity, kind: str) -> tuple[str, str]:
    return (entity.kind, kind) if kind and entity.kind in ("animal", "vehicle", "seat") else ("", "")


def _yes_or_no(plain: str, entities: list[tuple[Entity, str]]) -> Question | None:
    groups = [(fact, values) for pattern, fact, values in _GROUPS if re.search(pattern, plain)]
    if groups:
        fact, values = groups[0]
        return Question(fact) if _has(plain, "or") and (fact, values) != groups[-1] else Question(fact, values)
    for entity, kind in entities:  # "is the dog brown", "are there two dogs"
        for fact in entity.attributes:
            named = tuple(value for value in FACTS[fact] if value not in (NONE, kind) and _has(plain, value))
            if named and not (fact == "holding" and named == (kind,)):
                return _closed(plain, fact, named, _needs(entity, kind))
        if entity.count == "people" and (number := re.search(r"\b[0-5]\b", plain)):
            return Question("people", (number[0],))
    for fact in _GLOBAL:
        named = tuple(value for value in FACTS[fact] if value != NONE and _has(plain, value))
        if named:
            return _closed(plain, fact, named, ("", ""))
    if any(_has(plain, colour) for colour in COLOURS):
        return None  # the colour of something whose colour these scenes do not have
    for entity, kind in entities:
        if entity.kind and (entity.kind not in ("person", "people") or kind or _EXISTS.search(plain)):
            return _presence(plain, entity, kind)
    return None


def _closed(plain: str, fact: str, named: tuple[str, ...], needs: tuple[str, str]) -> Question:
    """A yes-or-no question; a question between two values of a fact ("day or night") counts as open."""
    if len(named) > 1 and _has(plain, "or"):
        return Question(fact, (), needs)
    return Question(fact, named, needs)


def _presence(plain: str, entity: Entity, kind: str) -> Question:
    if _has(plain, "or"):
        named = [value for value in FACTS[entity.kind] if _has(plain, value)]
        if len(named) > 1:
            return Question(entity.kind)
    if kind:
        return Question(entity.kind, (kind,))
    return Question(entity.kind, tuple(value for value in FACTS[entity.kind] if value not in (NONE, "0")))
