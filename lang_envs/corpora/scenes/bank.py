"""The bank of questions about built-in scenes, each with several wordings that people use."""

from __future__ import annotations

from functools import cache

from lang_envs.corpora.scenes.captions import a, plural
from lang_envs.corpora.scenes.facts import FACTS, INDOORS, NONE, OUTDOORS
from lang_envs.corpora.scenes.questions import Question

_OPEN: dict[str, tuple[str, ...]] = {
    "place": ("where is this", "where was this taken", "what is the setting", "what place is this"),
    "weather": ("what is the weather like", "how is the weather", "what's the weather"),
    "time": ("what time of day is it", "is it day or night"),
    "sky": ("what color is the sky", "what colour is the sky"),
    "trees": ("how many trees are there", "how many trees do you see"),
    "grass": ("what is the grass like", "is the grass short or tall"),
    "water": ("what kind of water is it", "is it a lake or an ocean"),
    "building": ("what is in the background", "what kind of building is it", "what building can you see"),
    "sign": ("what kind of sign is there", "what does the sign say"),
    "fence": ("what is the fence made of", "what kind of fence is it"),
    "walls": ("what color are the walls", "what color is the wall"),
    "floor": ("what is the floor made of", "what kind of floor is it"),
    "windows": ("how many windows are there", "how many windows can you see"),
    "person": ("who is in the picture", "what gender is the person", "is the person a man or a woman"),
    "people": ("how many people are there", "how many people do you see", "number of people"),
    "age": ("how old is he", "how old does the person look", "what age is she"),
    "hair": ("what color is his hair", "what color is the hair", "what hair color does she have"),
    "shirt": ("what color is the shirt", "what color is his jacket", "what is she wearing"),
    "hat": ("what kind of hat is it", "what is he wearing on his head"),
    "hat color": ("what color is the hat", "what color is his hat"),
    "glasses": ("what kind of glasses is he wearing", "is he wearing glasses or sunglasses"),
    "activity": ("what is he doing", "what is the person doing", "what are they doing"),
    "face": ("what is the expression on his face", "what mood is she in"),
    "holding": ("what is he holding", "what is in her hand", "what is the person carrying"),
    "animal": ("what kind of animal is there", "what animal do you see", "which animal is it"),
    "animals": ("how many animals are there", "how many animals do you see"),
    "animal color": ("what color is the animal", "what color is the pet"),
    "animal activity": ("what is the animal doing",),
    "vehicle": ("what kind of vehicle is there", "what vehicle do you see", "what type of vehicle is it"),
    "vehicles": ("how many vehicles are there", "how many vehicles can you see"),
    "vehicle color": ("what color is the vehicle", "what color are the vehicles"),
    "seat": ("what is he sitting on", "what kind of seat is there", "what furniture is there"),
    "seat color": ("what color is the seat", "what color is the furniture"),
    "table": ("what is the table made of", "what kind of table is it"),
    "food": ("what kind of food is there", "what food is it", "what is he eating"),
    "drink": ("what is there to drink", "what kind of drink is it", "what is she drinking"),
    "toy": ("what is he playing with", "what kind of toy is it"),
}
_WITH_COLOUR = ("what color is the {}", "what colour is the {}", "what color are the {}s")
_YES_NO: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    ("place", INDOORS, ("is it indoors", "is this inside", "are they inside")),
    ("place", OUTDOORS, ("is this outside", "is it outdoors", "was the photo taken outside")),
    ("time", ("day",), ("is it daytime", "is it day", "is it bright")),
    ("photo", ("color",), ("is the photo in color", "is the picture in color", "is this in color")),
    ("view", ("close up",), ("is it a close up", "is this a closeup", "is the photo zoomed in")),
    ("people", ("1",), ("is he alone", "is she alone", "is there only one person")),
    ("people", ("2", "3", "4", "5"), ("are there other people", "is there anyone else", "any other people")),
    ("people", ("1", "2", "3", "4", "5"), ("are there any people", "do you see any people", "any people there")),
    ("people", ("3", "4", "5"), ("are there many people",)),
    ("age", ("70",), ("is he old", "is the person elderly")),
    ("age", ("5", "10", "25"), ("is he young", "is she young", "does the person look young")),
    ("face", ("smiling",), ("is he smiling", "is she happy", "do they look happy")),
    ("hat", FACTS["hat"][1:], ("is he wearing a hat", "does she have a hat on", "any hats")),
    ("glasses", ("glasses",), ("is he wearing glasses", "does she wear glasses")),
    ("animal", FACTS["animal"][1:], ("are there any animals", "do you see any animals", "is there a pet")),
    ("vehicle", FACTS["vehicle"][1:], ("are there any vehicles", "can you see any vehicles", "is there traffic")),
    ("motion", ("parked",), ("is the vehicle parked", "is it parked")),
    ("food", FACTS["food"][1:], ("is there any food", "do you see food", "is there food on the table")),
    ("drink", FACTS["drink"][1:], ("are there any drinks", "do you see any drinks")),
    ("table", FACTS["table"][1:], ("is there a table", "do you see a table")),
    ("trees", FACTS["trees"][1:], ("are there any trees", "can you see trees", "any trees")),
    ("grass", FACTS["grass"][1:], ("is there grass", "can you see any grass")),
    ("water", FACTS["water"][1:], ("is there any water", "do you see water")),
    ("building", FACTS["building"][1:], ("are there any buildings", "can you see any buildings", "any buildings")),
    ("sign", FACTS["sign"][1:], ("are there any signs", "do you see a sign")),
    ("fence", FACTS["fence"][1:], ("is there a fence", "do you see a fence")),
    ("windows", FACTS["windows"][1:], ("are there any windows", "can you see windows")),
    ("toy", FACTS["toy"][1:], ("are there any toys", "do you see a toy")),
    ("seat", FACTS["seat"][1:], ("is there any furniture", "do you see a seat")),
)
_EACH: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("place", ("is this {a}", "is it {a}")),
    ("weather", ("is it {}", "is the weather {}")),
    ("activity", ("is he {}", "is the person {}", "are they {}")),
    ("holding", ("is he holding {a}", "does she have {a}")),
    ("animal", ("is there {a}", "do you see any {s}", "are there any {s}")),
    ("vehicle", ("is there {a}", "do you see any {s}", "any {s}")),
    ("building", ("is there {a}", "can you see {a}")),
    ("seat", ("is there {a}", "do you see {a}")),
    ("food", ("is there any {}", "is the food {}")),
    ("drink", ("is there any {}", "is she drinking {}")),
    ("toy", ("is there {a}", "do you see {a}")),
    ("hair", ("is his hair {}", "does she have {} hair")),
    ("shirt", ("is the shirt {}", "is he wearing {a} shirt")),
    ("animal activity", ("is the animal {}", "is the pet {}")),
)


@cache
def bank() -> dict[Question, tuple[str, ...]]:
    """Every question of the bank with its wordings; ``questions.parse`` maps each wording to its question."""
    found = {Question(fact): wordings for fact, wordings in _OPEN.items()}
    for entity, colour, count in (("animal", "animal color", "animals"), ("vehicle", "vehicle color", "vehicles")):
        for kind in FACTS[entity][1:]:
            coloured = _WITH_COLOUR if kind == plural(kind)[:-1] else _WITH_COLOUR[:2]
            found[Question(colour, (), (entity, kind))] = tuple(wording.format(kind) for wording in coloured)
            counted = (f"how many {plural(kind)} are there", f"how many {plural(kind)} do you see")
            found[Question(count, (), (entity, kind))] = counted
    found |= {Question(fact, values): wordings for fact, values, wordings in _YES_NO}
    for fact, wordings in _EACH:
        for value in FACTS[fact]:
            if value != NONE:
                found[Question(fact, (value,))] = tuple(
                    wording.format(value, a=a(value), s=plural(value)) for wording in wordings
                )
    return found
