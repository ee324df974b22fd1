"""Draws built-in scenes: consistent facts for each scene, and captions that tell some of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lang_envs.corpora.scenes.captions import caption
from lang_envs.corpora.scenes.facts import COLOUR_FACTS, COLOURS, FACTS, INDOORS, NAMES, NONE, PLACE, Table, code

SPLITS = ("train", "val", "test")

_OUTDOORS_ONLY = ("weather", "sky", "trees", "grass", "water")
_INDOORS_ONLY = ("walls", "floor", "windows")
_OF_A_PERSON = ("age", "hair", "shirt", "hat", "glasses", "activity", "face", "holding")
_OF_AN_ANIMAL = ("animals", "animal color", "animal activity")
_OF_A_VEHICLE = ("vehicles", "vehicle color", "motion")

_COMMON: dict[str, dict[str, float]] = {
    "photo": {"color": 9},
    "person": {NONE: 1.5},
    "animal": {NONE: 7, "dog": 2, "cat": 2},
    "vehicle": {NONE: 7, "car": 2},
    "seat": {NONE: 3},
    "table": {NONE: 3},
    "food": {NONE: 6},
    "drink": {NONE: 4},
    "toy": {NONE: 4},
    "hat": {NONE: 3},
    "glasses": {NONE: 2},
    "holding": {NONE: 3},
    "building": {NONE: 3},
    "sign": {NONE: 4},
    "fence": {NONE: 3},
    "water": {NONE: 3},
}
"""The weights with which values are drawn, where they are not equal."""


@dataclass(frozen=True)
class Scenes:
    """n scenes.

    Attributes:
        table: [n, facts] the value of each fact, by :func:`lang_envs.corpora.scenes.facts.code`; 0 where it does not
            apply.
        captions: the n captions.
        told: [n, facts] whether the caption tells each fact.
    """

    table: Table
    captions: tuple[str, ...]
    told: NDArray[np.bool_]


def generate(n: int, split: str = "train", seed: int = 0) -> Scenes:
    """Draws scenes; each split and seed gives other scenes.

    Args:
        n: number of scenes.
        split: one of ``SPLITS``.
        seed: seed of the whole world.

    Raises:
        ValueError: ``n`` is below 2, or the split is unknown.
    """
    if n < 2:
        raise ValueError(f"a world needs at least 2 scenes to tell apart, got {n}")
    if split not in SPLITS:
        raise ValueError(f"the split of the built-in world is one of {SPLITS}, got {split!r}")
    rng = np.random.default_rng((seed, SPLITS.index(split)))
    table = _facts(n, rng)
    told = np.zeros(table.shape, np.bool_)
    captions = []
    for row, values in enumerate(table):
        text, facts = caption(_words(values), rng)
        captions.append(text)
        told[row, [PLACE[fact] for fact in facts]] = True
    return Scenes(table, tuple(captions), told)


def _words(values: NDArray[np.int8]) -> dict[str, str]:
    """The facts that apply to one scene, in words."""
    return {name: FACTS[name][value - 1] for name, value in zip(NAMES, values.tolist(), strict=True) if value}


def _facts(n: int, rng: np.random.Generator) -> Table:
    table = np.stack([_draw(name, n, rng) for name in NAMES], axis=1)  # [n, facts]

    def column(name: str) -> Table:
        return table[:, PLACE[name]]  # a view

    indoors = column("place") <= len(INDOORS)
    nobody = column("person") == code("person", NONE)
    for names, without in (
        (_OUTDOORS_ONLY, indoors),
        (_INDOORS_ONLY, ~indoors),
        (_OF_A_PERSON, nobody),
        (_OF_AN_ANIMAL, column("animal") == code("animal", NONE)),
        (_OF_A_VEHICLE, column("vehicle") == code("vehicle", NONE)),
        (("seat color",), column("seat") == code("seat", NONE)),
        (("face",), rng.random(n) < 0.2),
    ):
        for name in names:
            column(name)[without] = 0
    column("hat color")[column("hat") <= code("hat", NONE)] = 0
    column("people")[nobody] = code("people", "0")
    alone = ~nobody & (column("people") == code("people", "0"))
    column("people")[alone] = code("people", "1")
    _indoors(table, indoors)
    _sky(table)
    _ages(table, rng)
    without_colours = column("photo") == code("photo", "black and white")
    for name in COLOUR_FACTS:
        column(name)[without_colours] = 0
    return table


def _draw(name: str, n: int, rng: np.random.Generator) -> Table:
    weights = np.array([_COMMON.get(name, {}).get(value, 1.0) for value in FACTS[name]])
    if name == "people":
        weights = np.array([0.0, 5, 3, 2, 1, 1])
    elif FACTS[name][0] == "1":
        weights = np.array([4.0, 2, 1, 1])
    elif FACTS[name] == COLOURS:
        weights = weights + (np.arange(len(COLOURS)) < 4)  # black, white, red and blue are more frequent
    drawn = np.searchsorted(np.cumsum(weights), rng.random(n) * weights.sum(), side="right")
    return (drawn + 1).astype(np.int8)


def _indoors(table: Table, indoors: NDArray[np.bool_]) -> None:
    """Removes the facts that do not apply indoors."""
    for name, values in (("animal", ("horse", "cow", "sheep")), ("vehicle", FACTS["vehicle"][1:])):
        kinds = table[:, PLACE[name]]
        gone = indoors & np.isin(kinds, [code(name, value) for value in values])
        kinds[gone] = code(name, NONE)
        for attribute in _OF_AN_ANIMAL if name == "animal" else _OF_A_VEHICLE:
            table[gone, PLACE[attribute]] = 0


def _sky(table: Table) -> None:
    """Makes the sky agree with the time and the weather; it is never sunny at night."""
    weather, sky = table[:, PLACE["weather"]], table[:, PLACE["sky"]]
    night = table[:, PLACE["time"]] == code("time", "night")
    weather[night & (weather == code("weather", "sunny"))] = code("weather", "cloudy")
    by_day = np.where(weather == code("weather", "sunny"), code("sky", "blue"), code("sky", "grey"))
    sky[:] = np.where(sky > 0, np.where(night, code("sky", "dark"), by_day), 0)


def _ages(table: Table, rng: np.random.Generator) -> None:
    """Makes children 5 or 10 years old, and the others older."""
    person, age = table[:, PLACE["person"]], table[:, PLACE["age"]]
    child = person >= code("person", "boy")
    drawn = rng.random(len(table))
    young = np.where(child, code("age", "5") + (drawn < 0.5), code("age", "25") + (3 * drawn).astype(np.int8))
    age[:] = np.where(age > 0, young, 0)
