"""Captions of built-in scenes: one sentence that tells a few of the facts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lang_envs.corpora.scenes.facts import NONE

PLACES = {
    "kitchen": ("in a kitchen", "inside a kitchen"),
    "living room": ("in a living room",),
    "office": ("in an office", "at the office"),
    "restaurant": ("in a restaurant", "at a restaurant"),
    "street": ("on a street", "along a city street"),
    "park": ("in a park", "at the park"),
    "beach": ("on a beach", "at the beach"),
    "field": ("in a field", "out in a field"),
    "mountain": ("on a mountain", "up on a mountain"),
    "station": ("at a station", "outside a station"),
}
_PEOPLE = {
    "man": ("man", "guy"),
    "woman": ("woman", "lady"),
    "boy": ("boy", "little boy"),
    "girl": ("girl", "young girl"),
}
_DOING = {
    "standing": ("standing", "that is standing"),
    "sitting": ("sitting", "sitting down"),
    "walking": ("walking",),
    "running": ("running",),
    "eating": ("eating", "having something to eat"),
    "reading": ("reading",),
    "talking": ("talking",),
    "playing": ("playing",),
    "sleeping": ("sleeping", "taking a nap"),
}
_NUMBERS = {"2": "two", "3": "three", "4": "four"}
_SUBJECTS: tuple[str, ...] = ("person", "person", "animal", "vehicle")  # persons are drawn twice as often
_EXTRAS = ("holding", "animal", "vehicle", "seat", "food", "toy", "hat", "drink")
_JOINED = {
    "holding": "with {} in hand",
    "animal": "near {}",
    "vehicle": "with {} in view",
    "seat": "by {}",
    "food": "with some {}",
    "toy": "with {} around",
    "hat": "in {}",
    "drink": "with some {}",
}


def caption(facts: dict[str, str], rng: np.random.Generator) -> tuple[str, tuple[str, ...]]:
    """A caption, and the facts that it tells.

    Args:
        facts: the facts that apply to the scene, in words.
        rng: the only source of randomness.
    """
    there = {name: facts[name] for name in facts if facts[name] != NONE}
    told: tuple[str, ...]
    words, told = _subject(there, rng)
    if not told or rng.random() < 0.5:
        words, told = f"{words} {_one(PLACES[there['place']], rng)}", (*told, "place")
    extras = [name for name in _EXTRAS if name in there and name not in told]
    if "person" not in told:
        extras = [name for name in extras if name not in ("holding", "hat")]
    if extras and rng.random() < 0.4:
        name = _one(extras, rng)
        thing = there[name] if name in ("food", "drink") else a(there[name])
        words, told = f"{words} {_JOINED[name].format(thing)}", (*told, name)
    return words, told


def a(noun: str) -> str:
    """The noun with its indefinite article."""
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def plural(noun: str) -> str:
    """The plural of a noun of the scenes."""
    irregular = {"sheep": "sheep", "man": "men", "woman": "women", "people": "people", "person": "people"}
    return irregular.get(noun) or (f"{noun}es" if noun.endswith(("s", "ch")) else f"{noun}s")


def _subject(there: dict[str, str], rng: np.random.Generator) -> tuple[str, tuple[str, ...]]:
    """The subject of the caption, and the facts that it tells."""
    told: tuple[str, ...]
    kinds = [name for name in _SUBJECTS if name in there]
    kind = _one(kinds, rng) if kinds else "none"
    if kind == "person":
        who = _one(_PEOPLE[there["person"]], rng)
        words, told = a(who), ("person",)
        if "shirt" in there and rng.random() < 0.2:
            words, told = f"{words} in a {there['shirt']} shirt", (*told, "shirt")
        if rng.random() < 0.6:
            words, told = f"{words} {_one(_DOING[there['activity']], rng)}", (*told, "activity")
        return words, told
    if kind == "animal":
        words, told = _some("animal", "animals", "animal color", there, rng)
        if rng.random() < 0.5:
            words, told = f"{words} {_one(_DOING[there['animal activity']], rng)}", (*told, "animal activity")
        return words, told
    if kind == "vehicle":
        words, told = _some("vehicle", "vehicles", "vehicle color", there, rng)
        if rng.random() < 0.3:
            words, told = f"{words}, {there['motion']},", (*told, "motion")
        return words, told
    return _one(("a view", "a picture taken", "some things", "a scene"), rng), ()


def _some(
    kind: str, count: str, colour: str, there: dict[str, str], rng: np.random.Generator
) -> tuple[str, tuple[str, ...]]:
    """One animal or vehicle, or several, sometimes with their colour."""
    looks = f"{there[colour]} " if colour in there and rng.random() < 0.3 else ""
    told = (kind, count, colour) if looks else (kind, count)
    if there[count] == "1":
        return a(looks + there[kind]), told
    return f"{_NUMBERS[there[count]]} {looks}{plural(there[kind])}", told


def _one(choices: Sequence[str], rng: np.random.Generator) -> str:
    return choices[int(rng.random() * len(choices))]
