"""The wordings of answers about built-in scenes: terse or long, by each answerer's style."""

from __future__ import annotations

from lang_envs.corpora.scenes.captions import PLACES, a
from lang_envs.corpora.scenes.facts import ENTITIES, FACTS, NONE
from lang_envs.corpora.scenes.questions import Question

STYLES = 8
"""Number of styles of answers; the first ones are terse, as most people are."""
YES, NO = 1, 2
"""The outcomes of a yes-or-no question. The outcome of an open question is the value's code; 0 is "does not apply"."""

CANNOT_TELL = ("can't tell", "i can't tell", "i cannot tell", "not sure", "can't tell from here", "i don't know",
               "hard to tell", "it's not clear")  # fmt: skip
_YES = ("yes", "yes", "yes", "yes", "yes", "yes it is", "yeah", "yes, {}")
_NO = ("no", "no", "no", "no", "no", "no it's not", "nope", "no, i don't think so")
_YES_THERE = ("yes", "yes", "yes", "yes", "yes", "yes there is", "yeah", "yes, {}")
_NO_THERE = ("no", "no", "no", "no", "no", "no there isn't", "none", "no, not that i can see")
_HEDGED_YES = ("yes", "yes", "i think so", "looks like it", "yes", "it appears so", "maybe", "yes, {}")
_HEDGED_NO = ("no", "no", "i don't think so", "doesn't look like it", "no", "not really", "nope", "no, not really")
_SUBJECTIVE = ("age", "face", "time", "holding")
_THERE = ("no", "none", "i don't see any", "there is no {}", "nothing", "there isn't any", "none", "no {} in sight")
_ZERO = ("0", "none", "zero", "none", "i don't see any", "there are no {}", "0", "no {} that i can see")
_MISSING = ("there is no {}", "no {}", "i don't see a {}", "there is no {} here", "no {} there", "there isn't a {}",
            "i see no {}", "there is no {} in the picture")  # fmt: skip
_SENTENCES = {
    "weather": "it is {}",
    "time": "it is {}",
    "photo": "it is in {}",
    "view": "it is {}",
    "sky": "the sky is {}",
    "trees": "there are {} trees",
    "grass": "the grass is {}",
    "fence": "it is a {} fence",
    "walls": "the walls are {}",
    "floor": "it is {}",
    "windows": "there are {} windows",
    "people": "there are {} people",
    "age": "about {} years old",
    "hair": "the hair is {}",
    "shirt": "the shirt is {}",
    "hat color": "the hat is {}",
    "activity": "just {}",
    "face": "{}, i would say",
    "animals": "there are {} of them",
    "animal color": "it is {}",
    "animal activity": "it is {}",
    "vehicles": "i count {}",
    "vehicle color": "it is {}",
    "motion": "it is {}",
    "seat color": "it is {}",
    "table": "it is {}",
    "food": "there is some {}",
    "drink": "there is some {}",
}
"""The long answer about a fact; facts that are not listed are answered with an article: "a dog"."""
_KINDS = {entity.kind for entity in ENTITIES.values()} - {"windows", "people"}
_COUNTS = ("people", "animals", "vehicles", "windows")


def say(question: Question | None, outcome: int, style: int) -> str:
    """The answer's text.

    Args:
        question: the question; None if it was not understood.
        outcome: the outcome, numbered as above.
        style: the style, from 0 to ``STYLES`` - 1.
    """
    if question is None:
        return CANNOT_TELL[style]
    if outcome == 0:
        return _MISSING[style].format(question.needs[1]) if question.needs[1] else _not_there(question.fact, style)
    if question.is_open:
        return _open(question.fact, FACTS[question.fact][outcome - 1], style)
    yes, no = (
        (_HEDGED_YES, _HEDGED_NO)
        if question.fact in _SUBJECTIVE
        else (_YES_THERE, _NO_THERE)
        if question.fact in _KINDS
        else (_YES, _NO)
    )
    if outcome == NO:
        return no[style]
    said = _sentence(question.fact, question.values[0]) if len(question.values) == 1 else "at least one"
    return yes[style].format(said)


def _open(fact: str, value: str, style: int) -> str:
    if value == "0":
        return _ZERO[style].format(fact)
    if value == NONE:
        thing = next((entity.words[0] for entity in ENTITIES.values() if entity.kind == fact), "such thing")
        return _THERE[style].format(thing)
    if style < STYLES // 2 and (fact != "place" or style < 2):
        return value
    if style == STYLES // 2 and fact in _COUNTS:
        return f"i see {value}"
    if style % 2 and fact not in _COUNTS:
        return f"{value}, as far as i see" if style == STYLES - 1 else f"mostly {value}" if "color" in fact else value
    return _sentence(fact, value)


def _sentence(fact: str, value: str) -> str:
    if fact == "place":
        return PLACES[value][0]
    if fact in _COUNTS and value == "1":
        return "there is only 1"
    if fact in _SENTENCES:
        return _SENTENCES[fact].format(value)
    return f"there is {a(value)}" if value != "glasses" else "there are glasses"


def _not_there(fact: str, style: int) -> str:
    """The answer to a question that does not apply, such as a hat's colour without a hat, or the weather indoors."""
    owner = next((entity for entity in ENTITIES.values() if fact in entity.attributes and entity.kind), None)
    if owner is None or style % 2:
        return CANNOT_TELL[style]
    return _MISSING[style].format(owner.words[0])
