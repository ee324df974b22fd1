"""The domains of the built-in ambiguous questions: things to choose, and the needs that decide the choice.

A need has four values. Each value has a phrase with which a choice shows that it serves the value, and two sentences
with which the asker states it. The sentences do not share their content words with the phrase. So an agent must know,
for example, that rain calls for sealed seams.
"""

from __future__ import annotations

from typing import NamedTuple


class Value(NamedTuple):
    """One value of a need."""

    choice: str
    """the phrase of a choice that serves it"""
    said: tuple[str, str]
    """the sentences of the asker"""


class Need(NamedTuple):
    """One need of the asker."""

    name: str
    words: frozenset[str]
    """a question with one of these words asks about it"""
    questions: tuple[str, str]
    values: tuple[Value, ...]


class Domain(NamedTuple):
    """One kind of things to choose from, with the needs that matter."""

    name: str
    noun: str
    requests: tuple[tuple[str, str], ...]
    """what the asker says before and after a need that the question states"""
    needs: tuple[Need, ...]


def _need(name: str, words: str, asked: str, otherwise: str, *values: tuple[str, str, str]) -> Need:
    rows = tuple(Value(choice, (first, second)) for choice, first, second in values)
    return Need(name, frozenset(words.split()), (asked, otherwise), rows)


def _domain(name: str, noun: str, *needs: Need) -> Domain:
    plural = f"{name}es" if name.endswith("sh") else f"{name}s"
    return Domain(
        name,
        noun,
        (
            (f"I am looking for {noun}.", "Which of these should I take?"),
            (f"Could you help me to choose {noun}?", "Which one is best for me?"),
            (f"There are several {plural} on offer.", "Which is the right one?"),
            (f"I cannot decide between these {plural}.", "What would you pick for me?"),
        ),
        needs,
    )


_PRICE = _need(
    "budget", "budget spend pay price cost money afford", "How much can you spend?", "What is your budget?",
    ("at the lowest price", "I am short of money.", "I have to save every cent."),
    ("at a middling price", "A usual amount is fine.", "I can pay what most people pay."),
    ("from the top range", "It may be expensive.", "I do not look at the bill."),
    ("on monthly rates", "I would rather pay bit by bit.", "I cannot pay all at once."),
)  # fmt: skip

DOMAINS = (
    _domain(
        "jacket", "a jacket",
        _need(
            "weather", "weather climate rain cold temperature", "What will the weather be like?",
            "For which weather do you need it?",
            ("with sealed seams", "I expect heavy rain.", "It is wet there most days."),
            ("filled with down", "It will be far below zero.", "There is snow and ice."),
            ("of thin linen", "It stays hot and dry.", "I will be in the sun all day."),
            ("with tight cuffs and collar", "There is a gale on that coast.", "It blows hard up there."),
        ),
        _need(
            "occasion", "occasion wear do activity doing purpose", "On what occasion will you wear it?",
            "What will you be doing in it?",
            ("with bright reflectors", "I cycle after dark.", "Drivers must see me at night."),
            ("with a tailored cut", "I go to meetings in it.", "My office expects something smart."),
            ("that folds to the size of a fist", "I have hardly any room in my bag.", "I mostly carry it."),
            ("with stiff elbows", "I climb in it.", "I rub against rocks a lot."),
        ),
        _PRICE,
    ),
    _domain(
        "computer", "a computer",
        _need(
            "work", "work use task tasks program programs purpose", "What kind of work is it for?",
            "What will you use it for?",
            ("with a strong graphics card", "I play the newest games.", "I edit films."),
            ("with a simple processor", "I only write letters.", "I just read the news and my mail."),
            ("with 128 GB of memory", "I simulate large proteins.", "I sort huge tables all day."),
            ("with a drawing pen", "I illustrate books.", "I sketch and paint."),
        ),
        _need(
            "place", "where place carry travel desk", "Where will you keep it?", "Will you carry it around?",
            ("of under one kilogram", "I have it with me all day.", "I take it on every train."),
            ("with a large screen", "It never leaves my desk.", "It stays in my study."),
            ("in a rubber shell", "It goes to building sites.", "My children drop things."),
            ("that runs without a fan", "It stands in a recording studio.", "My baby sleeps beside it."),
        ),
        _PRICE,
    ),
    _domain(
        "dish", "a dish",
        _need(
            "diet", "diet eat avoid allergic allergy vegetarian vegan", "Is there anything you do not eat?",
            "Do you keep to a diet?",
            ("made of lentils", "I eat nothing from animals.", "I am vegan."),
            ("free of wheat", "I do not tolerate gluten.", "Bread makes me ill."),
            ("without any milk", "I cannot digest lactose.", "Cheese is bad for me."),
            ("low in salt", "My doctor worries about my blood pressure.", "I have to mind my heart."),
        ),
        _need(
            "taste", "taste flavour spicy hot sweet like", "What taste do you like?", "How should it taste?",
            ("with plenty of chilli", "It should burn.", "I love a fiery meal."),
            ("with honey and raisins", "I have a sweet tooth.", "Sugary things make me happy."),
            ("with lemon", "I like it sour.", "Something tart would be nice."),
            ("with fresh herbs", "It should be mild and green.", "I like the smell of a garden."),
        ),
        _need(
            "time", "time long quick minutes hurry when", "How much time do you have?", "When will you eat?",
            ("ready in five minutes", "I am in a great hurry.", "My bus leaves soon."),
            ("that stews for hours", "I have the whole afternoon.", "I enjoy slow cooking."),
            ("that keeps until tomorrow", "It is for the next day.", "I want to take it along later."),
            ("baked in half an hour", "I have a little while.", "Guests come within the hour."),
        ),
    ),
    _domain(
        "room", "a room",
        _need(
            "guests", "guests people persons who many company", "Who is coming with you?", "How many people are you?",
            ("with a single bed", "I come alone.", "It is only me."),
            ("with a double bed", "My wife joins me.", "My partner and I share."),
            ("with bunk beds", "We have two small children.", "The kids come along."),
            ("with a basket on the floor", "My dog comes, too.", "I never go without my spaniel."),
        ),
        _need(
            "plans", "plan plans purpose visit trip why activity", "What are your plans?", "What is the trip for?",
            ("beside the congress hall", "I give a talk.", "I attend a conference."),
            ("at the foot of the lift", "I go skiing.", "We want to be on the slopes."),
            ("right on the beach", "I want to swim.", "We hope to bathe every day."),
            ("next to the old town", "I look at churches and museums.", "We are here for the sights."),
        ),
        _need(
            "comfort", "comfort need important matters inside noise view quiet", "What comfort do you need?",
            "What matters to you inside?",
            ("facing the garden", "I wake at every sound.", "I need silence to sleep."),
            ("without any steps", "I use a wheelchair.", "Stairs are hard on my knees."),
            ("with a kitchen corner", "I cook for myself.", "I never eat out."),
            ("with a desk and fast network", "I have to work at night.", "I have video calls."),
        ),
    ),
    _domain(
        "plant", "a plant",
        _need(
            "light", "light sun sunny shade dark window", "How much light is there?", "Is the window sunny?",
            ("that thrives in the dark", "It stands in a hall with no windows.", "My corner sees no daylight."),
            ("that loves full sun", "It gets the south side.", "The balcony is scorching."),
            ("for half shade", "A tree filters the rays.", "It faces east."),
            ("that lives under a lamp", "It will be in a cellar bar.", "There are only neon tubes."),
        ),
        _need(
            "care", "care water watering often tend away", "How often can you water it?",
            "How much care can you give it?",
            ("that drinks once a month", "I travel for weeks.", "I forget about it all the time."),
            ("that wants a drink every day", "I enjoy fussing over it.", "I am home and like to be busy."),
            ("that sits in a pond", "It goes into my fish pool.", "I want it in the basin."),
            ("with a tank of its own", "My landlord fills it up on Sundays.", "Someone comes by weekly."),
        ),
        _need(
            "home", "pets children size space tall room", "Do you have pets or children?", "How much space is there?",
            ("that cats may chew", "My kitten bites everything.", "I have a curious cat."),
            ("no taller than a cup", "There is only a narrow shelf.", "I have a tiny sill."),
            ("up to the ceiling", "I want to fill a big empty corner.", "The hall is four metres high."),
            ("without pollen", "My son sneezes in spring.", "I have hay fever."),
        ),
    ),
    _domain(
        "present", "a present",
        _need(
            "person", "who person whom age old friend", "Who is it for?", "How old is the person?",
            ("for toddlers", "My niece has just learned to walk.", "He is two."),
            ("for teenagers", "She is fifteen.", "My cousin is in high school."),
            ("for the elderly", "My grandmother turns ninety.", "He has long retired."),
            ("for colleagues", "We share an office.", "He sits next to me at work."),
        ),
        _need(
            "interest", "interest interests hobby hobbies like likes enjoy", "What are their interests?",
            "Is there a hobby?",
            ("with a pair of binoculars", "They watch birds.", "They know every finch."),
            ("with a set of chisels", "They carve wood.", "They make their own furniture."),
            ("with sheet music", "They play the piano.", "They sing in a choir."),
            ("with rare seeds", "They are proud of their vegetables.", "They love gardening."),
        ),
        _PRICE,
    ),
)  # fmt: skip
