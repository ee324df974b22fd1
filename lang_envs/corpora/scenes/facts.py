"""The facts of a built-in scene, their values, and the words that people use for them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

COLOURS = ("black", "white", "red", "blue", "green", "yellow", "brown", "grey")
INDOORS = ("kitchen", "living room", "office", "restaurant")
OUTDOORS = ("street", "park", "beach", "field", "mountain", "station")
NONE = "none"

FACTS: dict[str, tuple[str, ...]] = {
    "place": INDOORS + OUTDOORS,
    "weather": ("sunny", "cloudy", "rainy", "snowy"),  # outdoors
    "time": ("day", "evening", "night"),
    "photo": ("color", "black and white"),  # a colour fact does not apply in black and white
    "view": ("close up", "far away"),
    "sky": ("blue", "grey", "dark"),  # outdoors
    "trees": (NONE, "few", "many"),
    "grass": (NONE, "short", "tall"),
    "water": (NONE, "lake", "river", "ocean"),
    "building": (NONE, "house", "shop", "tower", "church"),
    "sign": (NONE, "stop sign", "street sign", "shop sign"),
    "fence": (NONE, "wooden", "metal"),
    "walls": COLOURS,  # indoors, as the next two
    "floor": ("wooden", "tile", "carpet"),
    "windows": ("0", "1", "2", "3"),
    "person": (NONE, "man", "woman", "boy", "girl"),
    "people": ("0", "1", "2", "3", "4", "5"),
    "age": ("5", "10", "25", "45", "70"),  # if there is a person; so are the next ones, up to holding
    "hair": ("black", "brown", "blond", "grey", "red"),
    "shirt": COLOURS,
    "hat": (NONE, "cap", "helmet", "straw hat"),
    "hat color": COLOURS,
    "glasses": (NONE, "glasses", "sunglasses"),
    "activity": ("standing", "sitting", "walking", "running", "eating", "reading", "talking", "playing"),
    "face": ("smiling", "serious"),  # if it can be seen
    "holding": (NONE, "cup", "phone", "book", "bag", "umbrella", "camera"),
    "animal": (NONE, "dog", "cat", "horse", "bird", "cow", "sheep"),
    "animals": ("1", "2", "3", "4"),
    "animal color": ("black", "white", "brown", "grey"),
    "animal activity": ("standing", "sitting", "sleeping", "eating", "running"),
    "vehicle": (NONE, "car", "bus", "truck", "bicycle", "motorcycle", "boat"),
    "vehicles": ("1", "2", "3", "4"),
    "vehicle color": COLOURS,
    "motion": ("parked", "moving"),
    "seat": (NONE, "chair", "bench", "couch"),
    "seat color": COLOURS,
    "table": (NONE, "wooden", "plastic", "glass"),
    "food": (NONE, "pizza", "cake", "sandwich", "salad", "fruit"),
    "drink": (NONE, "soda", "wine", "coffee", "juice"),
    "toy": (NONE, "ball", "frisbee", "kite", "skateboard"),
}
"""The values of each fact. A table of scenes stores a value as its index plus one; 0 stands for "does not apply"."""

NAMES = tuple(FACTS)
PLACE = {name: i for i, name in enumerate(NAMES)}
"""The column of each fact."""
COLOUR_FACTS = ("sky", "walls", "hair", "shirt", "hat color", "animal color", "vehicle color", "seat color")
Table = NDArray[np.int8]


def code(fact: str, value: str) -> int:
    """The number that stands for a value of a fact in a table of scenes."""
    return FACTS[fact].index(value) + 1


@dataclass(frozen=True)
class Entity:
    """A thing that questions are about.

    Attributes:
        words: nouns and pronouns for it, in the singular.
        kind: the fact that says which kind there is, or NONE; empty if the entity is always there.
        attributes: the facts that apply if it is there.
        colour: the fact that is its colour; empty if its colour is not known.
        count: the fact that says how many there are.
    """

    words: tuple[str, ...]
    kind: str = ""
    attributes: tuple[str, ...] = ()
    colour: str = ""
    count: str = ""


_PERSON = ("activity", "age", "face", "glasses", "hair", "hat", "holding", "shirt")
ENTITIES: dict[str, Entity] = {
    "hair": Entity(("hair",), attributes=("hair",), colour="hair"),
    "shirt": Entity(
        ("shirt", "jacket", "top", "coat", "sweater", "dress", "clothe", "outfit"), "", ("shirt",), "shirt"
    ),
    "hat": Entity(("hat",), "hat", ("hat color",), "hat color"),
    "glasses": Entity(("eyewear",), "glasses"),
    "sky": Entity(("sky",), attributes=("sky",), colour="sky"),
    "wall": Entity(("wall",), attributes=("walls",), colour="walls"),
    "floor": Entity(("floor", "flooring"), attributes=("floor",)),
    "window": Entity(("window",), "windows", count="windows"),
    "animal": Entity(
        ("animal", "pet"), "animal", ("animal activity", "animal color", "animals"), "animal color", "animals"
    ),
    "vehicle": Entity(
        ("vehicle", "traffic"), "vehicle", ("motion", "vehicle color", "vehicles"), "vehicle color", "vehicles"
    ),
    "seat": Entity(("seat", "furniture"), "seat", ("seat color",), "seat color"),
    "food": Entity(("food", "meal", "dish", "plate"), "food"),
    "drink": Entity(("drink", "beverage", "drinking"), "drink"),
    "table": Entity(("table", "desk", "counter"), "table", ("table",)),
    "tree": Entity(("tree", "bush", "plant"), "trees", count="trees"),
    "grass": Entity(("grass",), "grass", ("grass",)),
    "water": Entity(("water",), "water"),
    "building": Entity(("building", "background"), "building"),
    "sign": Entity(("sign",), "sign"),
    "fence": Entity(("fence",), "fence", ("fence",)),
    "toy": Entity(("toy",), "toy"),
    "person": Entity(
        ("person", "he", "she", "him", "her", "his", "child", "adult"), "person", _PERSON, "shirt", "people"
    ),
    "people": Entity(
        ("people", "they", "their", "anyone", "anybody", "someone", "human"), "people", _PERSON, "", "people"
    ),
}
"""All entities. A question that names several is matched against them in this order."""

SYNONYMS = {
    "guy": "man", "gentleman": "man", "male": "man", "dude": "man", "men": "man", "lady": "woman", "female": "woman",
    "women": "woman", "kid": "child", "children": "child", "toddler": "child", "persons": "people", "humans": "people",
    "crowd": "people", "puppy": "dog", "kitten": "cat", "pony": "horse", "cattle": "cow", "automobile": "car",
    "van": "car", "bike": "bicycle", "motorbike": "motorcycle", "ship": "boat", "sofa": "couch", "stool": "chair",
    "armchair": "chair", "sandwiches": "sandwich", "buses": "bus", "benches": "bench", "couches": "couch",
    "churches": "church", "dishes": "dish", "bushes": "bush", "sea": "ocean", "pond": "lake", "stream": "river",
    "store": "shop", "home": "house", "gray": "grey", "blonde": "blond", "tan": "brown", "colour": "color",
    "raining": "rainy", "rain": "rainy", "snowing": "snowy", "snow": "snowy", "overcast": "cloudy", "sunshine": "sunny",
    "sun": "sunny", "daytime": "day", "daylight": "day", "noon": "day", "nighttime": "night", "dusk": "evening",
    "sunset": "evening", "cellphone": "phone", "mobile": "phone", "purse": "bag", "backpack": "bag", "mug": "cup",
    "stand": "standing", "sit": "sitting", "seated": "sitting", "walk": "walking", "run": "running", "eat": "eating",
    "read": "reading", "talk": "talking", "speaking": "talking", "play": "playing", "asleep": "sleeping",
    "sleep": "sleeping", "smile": "smiling", "happy": "smiling", "sad": "serious", "frowning": "serious",
    "driving": "moving", "stopped": "parked", "wood": "wooden", "tiled": "tile", "tiles": "tile", "carpeted": "carpet",
    "hardwood": "wooden", "rug": "carpet", "sunglass": "sunglasses", "spectacle": "glasses", "goggle": "glasses",
    "closeup": "close up", "hills": "mountain", "road": "street", "room": "room", "lounge": "living room",
    "cafe": "restaurant", "diner": "restaurant", "bar": "restaurant", "meadow": "field", "pasture": "field",
    "platform": "station", "zero": "0", "one": "1", "two": "2", "three": "3", "four": "4", "five": "5",
}  # fmt: skip
"""Synonyms that people use for the words of the tables above."""
