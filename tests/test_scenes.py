"""The built-in scenes: their consistency, the questions that are understood, and the guesser's use of answers."""

import numpy as np
import pytest

from lang_envs.corpora.scenes.answers import STYLES, say
from lang_envs.corpora.scenes.bank import bank
from lang_envs.corpora.scenes.facts import COLOUR_FACTS, ENTITIES, FACTS, NAMES, NONE, PLACE, code
from lang_envs.corpora.scenes.questions import Question, parse
from lang_envs.corpora.scenes.scene import generate
from lang_envs.corpora.scenes.world import NAMING, UNKNOWN, SceneWorld

POOL = 200
INSIDE, ANIMALS = FACTS["place"][:4], FACTS["animal"][1:]


@pytest.fixture(scope="module")
def world():
    return SceneWorld(POOL)


def column(scenes, name):
    return scenes.table[:, PLACE[name]]


def test_the_facts_of_a_scene_fit_together():
    scenes = generate(500)
    for place, name in enumerate(NAMES):
        assert 0 <= scenes.table[:, place].min() <= scenes.table[:, place].max() <= len(FACTS[name])
    nobody = column(scenes, "person") == code("person", NONE)
    assert ((column(scenes, "people") == code("people", "0")) == nobody).all()
    assert ((column(scenes, "hair") == 0) | ~nobody).all()
    indoors = np.isin(column(scenes, "place"), [code("place", name) for name in INSIDE])
    assert (column(scenes, "weather")[indoors] == 0).all() and (column(scenes, "weather")[~indoors] > 0).all()
    sunny_night = (column(scenes, "weather") == code("weather", "sunny")) & (
        column(scenes, "time") == code("time", "night")
    )
    assert not sunny_night.any()
    grey = column(scenes, "photo") == code("photo", "black and white")
    assert grey.any() and all((column(scenes, name)[grey] == 0).all() for name in COLOUR_FACTS)
    assert {entity.kind for entity in ENTITIES.values()} - {""} <= FACTS.keys()
    assert len(FACTS) <= 64  # a bit for each


def test_captions_tell_what_they_say_they_tell():
    scenes = generate(300)
    assert len(set(scenes.captions)) > 200
    for row, caption in enumerate(scenes.captions):
        assert scenes.told[row].any()
        assert (scenes.table[row][scenes.told[row]] > 0).all()
        animal = FACTS["animal"][column(scenes, "animal")[row] - 1]
        if scenes.told[row, PLACE["animal"]]:
            assert animal in caption
        elif animal != NONE:
            assert animal not in caption.split()


def test_scenes_are_drawn_from_seed_and_split_alone():
    once, again = generate(20), generate(20)
    assert (once.table == again.table).all() and once.captions == again.captions
    for other in (generate(20, "val"), generate(20, seed=1)):
        assert (once.table != other.table).any()
    with pytest.raises(ValueError, match=r"one of .*'val'.*got 'dev'"):
        generate(20, "dev")
    with pytest.raises(ValueError, match="at least 2 scenes"):
        generate(1)


@pytest.mark.parametrize(
    ("text", "fact", "values", "needs"),
    [
        ("What colour is the dog?", "animal color", (), ("animal", "dog")),
        ("is the puppy brown", "animal color", ("brown",), ("animal", "dog")),
        ("how many people can you see in the photo?", "people", (), ("", "")),
        ("is he by himself", "people", ("1",), ("", "")),
        ("what's the weather like", "weather", (), ("", "")),
        ("is it raining?", "weather", ("rainy",), ("", "")),
        ("indoors or outdoors", "place", (), ("", "")),
        ("are they inside", "place", INSIDE, ("", "")),
        ("is it day or night?", "time", (), ("", "")),
        ("do you see any pets", "animal", ANIMALS, ("", "")),
        ("is the lady wearing sunglasses", "glasses", ("sunglasses",), ("", "")),
        ("is the man holding a cell phone", "holding", ("phone",), ("", "")),
        ("how old does she look", "age", (), ("", "")),
        ("colour of the shirt?", "shirt", (), ("", "")),
        ("is the bench red", "seat color", ("red",), ("seat", "bench")),
        ("are there 2 cats", "animals", ("2",), ("animal", "cat")),
    ],
)
def test_questions_in_many_words(text, fact, values, needs):
    assert parse(text) == Question(fact, values, needs)


@pytest.mark.parametrize("text", ["", "?!", "hello there", "does he like jazz", "<|user|>", "\x00", "no"])
def test_what_is_no_question_about_a_scene(text, world):
    assert parse(text) is None
    answer = world.ask([0], world.begin([0])[0], [text])[0][0]
    assert answer == say(None, 0, int(world.style[0]))


def test_every_wording_of_the_bank_is_understood():
    assert [text for question, wordings in bank().items() for text in wordings if parse(text) != question] == []
    assert len(bank()) > 150 and {question.fact for question in bank()} == FACTS.keys()


def test_answers_are_true_to_the_table(world):
    for context in range(0, POOL, 7):
        animal = FACTS["animal"][column(world.scenes, "animal")[context] - 1]
        view = world.begin([context])[0]
        (there,), _, _ = world.ask([context], view, ["are there any animals"])
        (kind,), _, _ = world.ask([context], view, ["what animal do you see"])
        (colour,), _, _ = world.ask([context], view, ["what color is the horse"])
        denied = there.startswith("no")
        assert denied == (animal == NONE)
        assert animal == NONE or animal in kind
        assert animal == "horse" or "horse" in colour


def test_answers_vary_but_not_from_one_time_to_the_next(world):
    number = world.understand("is it daytime")
    assert number == world.understand("Is it day?!") != UNKNOWN
    said = [world.say(context, number) for context in range(POOL)]
    assert said == [world.say(context, number) for context in range(POOL)]
    assert len(set(said)) > 6
    for question in bank():
        for outcome in range(3):
            assert all(say(question, outcome, style) for style in range(STYLES))


def test_the_order_of_questions_does_not_change_an_answer():
    texts = [wordings[0] for wordings in bank().values()]
    answers = []
    for order in (texts, texts[::-1]):
        fresh = SceneWorld(30)
        view = fresh.begin([3])[0]
        answers.append({text: fresh.ask([3], view, [text])[0][0] for text in order})
    assert answers[0] == answers[1]


def test_truthful_answers_never_take_from_the_true_scene(world):
    contexts = list(range(POOL))
    views, _ = world.begin(contexts)
    for wordings in bank().values():
        _, views, _ = world.ask(contexts, views, [wordings[0]] * POOL)
    doubt = world.doubt(views)
    assert (doubt[contexts, contexts] == 0).all()
    assert doubt.max() > 10


def test_each_answer_only_ever_adds_evidence_and_asking_again_adds_none(world):
    contexts = list(range(POOL))
    views, _ = world.begin(contexts)
    for text in ("is it sunny", "what color is his shirt", "are there any animals"):
        _, after, percentiles = world.ask(contexts, views, [text] * POOL)
        assert ((after & views) == views).all() and (after != views).any()
        _, again, same = world.ask(contexts, after, [f"{text}?"] * POOL)
        assert (again == after).all() and (same == percentiles).all()
        views = after


def test_percentiles_rise_with_what_is_told_and_keep_their_bounds(world):
    contexts = list(range(POOL))
    views, start = world.begin(contexts)
    for wordings in bank().values():
        _, views, percentiles = world.ask(contexts, views, [wordings[0]] * POOL)
        assert percentiles.min() >= 0 and percentiles.max() <= 1 - 1 / POOL
    assert start.mean() < 0.8 and percentiles.mean() > 0.99


def test_evidence_by_hand(world):
    """One yes-or-no question and one open one, against plain loops over the table."""
    kinds, colours = column(world.scenes, "animal"), column(world.scenes, "animal color")
    context = int(np.flatnonzero((kinds == code("animal", "dog")) & (colours > 0))[0])
    views, _ = world.begin([context])
    plain = world.doubt(np.asarray(views))[0]
    _, after, _ = world.ask([context], views, ["what color is the dog"])
    for other in range(POOL):
        differ = colours[other] != colours[context] if kinds[other] == kinds[context] else True
        place = PLACE["animal color"] if kinds[other] == kinds[context] and colours[other] else PLACE["animal"]
        known = int(world.heard[context, other]) >> place & 1  # that the caption speaks against counts once
        expected = plain[other] + (NAMING if differ and not known else 0)
        assert world.doubt(after)[0][other] == pytest.approx(expected)


def test_difficulty(world):
    easy = SceneWorld(POOL, difficulty=0.0)
    contexts = list(range(POOL))
    assert easy.opening.mean() > world.opening.mean()
    _, _, percentiles = easy.ask(contexts, easy.begin(contexts)[0], ["where is this"] * POOL)
    assert easy.opening.min() < 0.95  # scenes that fit a caption alike share a rank: there is something to ask
    assert percentiles.mean() > world.ask(contexts, world.begin(contexts)[0], ["where is this"] * POOL)[2].mean()
    with pytest.raises(ValueError, match="difficulty is a number >= 0, got -1"):
        SceneWorld(POOL, difficulty=-1)
