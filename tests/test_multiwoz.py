"""MultiWOZ's goals and databases, and its measures of whole dialogues, by hand."""

import json

import multiwoz_folder
import numpy as np
import pytest

from agents import cli
from agents.benchmark.measures import MEASURES, Played
from agents.evaluation.multiwoz import evaluate, in_words
from lang_envs import Episodes
from lang_envs.corpora.dialogues import multiwoz
from lang_envs.corpora.files import CorpusError
from lang_envs.corpora.multiwoz import annotated, database
from lang_envs.corpora.multiwoz.goal import goal_of
from lang_envs.corpora.multiwoz.values import minutes, normalised
from lang_envs.make import language_vec
from lang_envs.policies.any_task import Say
from lang_envs.policies.dialogue import HumanReply
from lang_envs.rewards.multiwoz_mentions import Reader
from lang_envs.rewards.multiwoz_success import Evaluator, bleu_counts, bleu_of, combined, delexicalised


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return multiwoz_folder.write(tmp_path_factory.mktemp("multiwoz") / "multiwoz")


@pytest.fixture(scope="module")
def corpus(folder):
    return annotated.load(folder)


@pytest.mark.parametrize(
    ("slot", "value", "same"),
    [
        ("area", "Center", "centre"),
        ("pricerange", "moderately priced", "moderate"),
        ("type", "guest house", "guesthouse"),
        ("leaveAt", "8:05", "08:05"),
        ("leaveAt", "5:15 pm", "17:15"),
        ("name", "The Red  Pot", "red pot"),
        ("name", "rosa's b and b", "rosas bed and breakfast"),
        ("food", "don't care", "dontcare"),
        ("food", "not mentioned", ""),
        ("internet", "free", "yes"),
    ],
)
def test_values_have_one_spelling(slot, value, same):
    assert normalised(slot, value) == same


def test_times_are_minutes():
    assert [minutes(t) for t in ("00:05", "9.30", "12:00 am", "12:00pm", "24:30", "12:75", "noon")] == [
        5, 570, 0, 720, 1470, None, None,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("domain", "asked", "found"),
    [
        ("restaurant", {}, ["the red pot", "blue bowl restaurant", "green plate"]),
        ("restaurant", {"area": "center"}, ["the red pot", "blue bowl restaurant"]),
        ("restaurant", {"area": "centre", "food": "indian"}, ["the red pot"]),
        ("restaurant", {"area": "dontcare", "food": "indian"}, ["the red pot", "green plate"]),
        ("restaurant", {"name": "red pot"}, ["the red pot"]),
        ("restaurant", {"name": "the blue bowl"}, ["blue bowl restaurant"]),
        ("restaurant", {"food": "thai"}, []),
        ("restaurant", {"stars": "4"}, ["the red pot", "blue bowl restaurant", "green plate"]),
        ("hotel", {"stars": "4", "type": "guest house"}, ["oak guest house"]),
        ("attraction", {"entrance fee": "5 pounds"}, ["old museum"]),
        ("train", {"leaveAt": "08:01", "day": "monday"}, ["TR0002"]),
        ("train", {"leaveAt": "08:00", "day": "monday"}, ["TR0001", "TR0002"]),
        ("train", {"arriveBy": "8:17"}, ["TR0001"]),
        ("train", {"arriveBy": "08:16"}, []),
        ("taxi", {"leaveAt": "08:00"}, []),
    ],
)
def test_queries(corpus, domain, asked, found):
    assert [entity.name for entity in corpus.database.query(domain, asked)] == found


def test_an_entry_of_several_satisfies_if_one_does(corpus):
    data = corpus.database
    assert data.satisfies("train", "TR0002", {"day": "tuesday", "leaveAt": "11:00"})
    assert not data.satisfies("train", "TR0002", {"day": "tuesday", "arriveBy": "11:00"})
    assert data.violated("restaurant", "1", {"area": "centre", "food": "indian", "pricerange": "cheap"}) == (
        "food", "pricerange",
    )  # fmt: skip
    assert data.fixed("hospital", {"department": "Surgery"})["phone"] == "01223217000"
    assert data.fixed("hospital", {})["phone"] == "01223245151"
    assert data.fixed("police", {})["phone"] == "01223358966"


def test_goals(corpus):
    first, second = corpus.dialogues[0].goal, corpus.dialogues[1].goal
    assert first.needs[0].book == {"people": "2", "day": "monday", "time": "18:00"}
    assert second.domains == ("hotel", "train", "taxi")
    told = {**multiwoz_folder.TRIP, "message": ["You need a <b>train</b> to a hotel", "and a place to stay"]}
    assert goal_of(told, "here").domains == ("train", "hotel", "taxi")
    assert sum(len(corpus.split(name)) for name in ("train", "validation", "test")) == 20
    assert len(corpus.split("test")) == 2


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (
            lambda d: d["D1"]["goal"].update(train=3),
            "D1.*goal, train: expected an object of info, book",
        ),
        (lambda d: d["D1"]["goal"]["train"].update(info=[1]), "'D1', goal, train, field 'info': expected an object"),
        (lambda d: d["D1"]["goal"]["train"].update(reqt="x"), "field 'reqt': expected a list of slots, got str 'x'"),
        (lambda d: d["D1"].update(goal=3), "'D1', goal: expected an object of domains, got int 3"),
        (lambda d: d["D1"].pop("goal"), "'D1': expected the fields 'goal' and 'log'"),
        (lambda d: d["D1"]["log"][1].update(metadata=[3]), "log 1, metadata: expected an object of domains"),
        (lambda d: d["D1"]["log"][0].update(span_info=[[1]]), r"log 0, span_info: expected \[act, slot"),
        (lambda d: d["D1"]["log"][0].update(dialog_act={"A-B": [3]}), r"log 0, A-B: expected \[slot, value\], got int"),
    ],
)
def test_damaged_dialogues_are_refused_in_words(folder, tmp_path, damage, words):
    found = json.loads((folder / "data.json").read_text())
    damage(found)
    (tmp_path / "data.json").write_text(json.dumps(found))
    with pytest.raises(CorpusError, match=words):
        list(annotated.read(tmp_path))


def test_damaged_databases_are_refused_in_words(folder, tmp_path):
    multiwoz_folder.write(tmp_path / "m")
    (tmp_path / "m/db/hotel_db.json").write_text('[{"area": "north"}]')
    with pytest.raises(CorpusError, match=r"hotel_db.json, record 0, field 'name': missing"):
        database.load(tmp_path / "m/db")
    (tmp_path / "m/db/hotel_db.json").write_text("{}")
    with pytest.raises(CorpusError, match="expected a list of entries"):
        database.load(tmp_path / "m/db")
    with pytest.raises(CorpusError, match="expected a folder that holds MultiWOZ"):
        annotated.load(folder / "data.json")


@pytest.mark.parametrize(
    ("text", "offers", "patterns"),
    [
        ("How about The Red Pot?", {"restaurant": ("0",)}, set()),
        ("red pot or Blue Bowl", {"restaurant": ("0", "1")}, set()),
        ("take TR0002, or tr 0001", {"train": ("TR0002", "TR0001")}, {"trainID"}),
        ("TR9999", {}, {"trainID"}),
        ("the oak guesthouse, 01223 000009, cb1 2aa", {"hotel": ("0",)}, {"phone", "postcode"}),
        ("your reference: AB12CD34", {}, {"reference"}),
        ("reference ABCDEFGH", {}, {"reference"}),
        ("redo the potato", {}, set()),
        ("", {}, set()),
    ],
)
def test_mentions(corpus, text, offers, patterns):
    found = Reader(corpus.database).read(text)
    assert (dict(found.offers), set(found.patterns)) == (offers, patterns)


HUMAN = [text for text, _, _ in multiwoz_folder.TALK[1::2]]


@pytest.mark.parametrize(
    ("said", "judged"),
    [
        (HUMAN, (True, True)),
        (["", "The red pot", "reference AB12CD34"], (True, False)),
        (["", "The red pot, 01223000001, cb11aa", "done"], (True, False)),
        (["", "green plate, 01223000001, cb11aa", "reference AB12CD34"], (False, False)),
        (["the red pot", "01223000001 and cb11aa", "reference AB12CD34"], (True, True)),
        (["the red pot", "blue bowl, 01223000001 and cb11aa", "reference AB12CD34"], (False, False)),
        (["", "red pot, 01223000001, cb11aa, AB12CD34", "done"], (True, False)),  # nothing was booked yet
        (["", "[value_name], [value_phone], [value_postcode]", "[value_reference]"], (True, True)),
        (["[value_name]", "[restaurant_phone] [value_postcode]", "[value_reference]"], (False, False)),
        (["", "[restaurant_name] [hotel_phone] [value_postcode]", "[restaurant_reference]"], (True, False)),
        (["", "", ""], (False, False)),
    ],
)
def test_inform_and_success(corpus, said, judged):
    assert Evaluator(corpus.database).judge(corpus.dialogues[0], said) == judged


def test_as_many_texts_as_turns(corpus):
    with pytest.raises(ValueError, match="D0: expected 3 turns of the agent, got 1"):
        Evaluator(corpus.database).judge(corpus.dialogues[0], ["hello"])


def test_the_human_side_delexicalised(corpus):
    assert delexicalised(corpus.dialogues[0]) == [
        f"{HUMAN[0]} ( D0 )",
        "[value_name] , phone 01223000001 , cb1 1aa .",
        "Booked , the reference is [value_reference] .",
    ]


def test_bleu_of_parts_is_bleu_of_the_whole():
    from sacrebleu.metrics import BLEU

    said, asked = ["a b c d e", "The cat sat on it", "no"], ["a b c d f", "the cat sat on the mat", "yes no"]
    parts = [bleu_counts(said[:1], asked[:1]), bleu_counts(said[1:], asked[1:])]
    whole = BLEU(lowercase=True).corpus_score(said, [asked]).score
    assert bleu_of(np.sum(parts, axis=0)) == pytest.approx(whole)
    assert combined(20, 90, 80) == 105
    with pytest.raises(ValueError, match="a reference for each turn"):
        bleu_counts(["a"], [])


@pytest.fixture(scope="module")
def replies(folder):
    return language_vec(
        "Dialogue-chrF-v0", 8, corpus="multiwoz", path=str(folder), max_context_tokens=200, max_response_tokens=64
    )


@pytest.fixture(scope="module")
def indian(corpus):
    """How many of 100 dialogues of the split have the goal that is talked about; the others fail."""
    return 100 * np.mean([one.goal.domains == ("restaurant",) for one in corpus.split("train")])


def test_whole_dialogues_are_measured(replies, indian):
    found = evaluate(replies, HumanReply(replies.task), 0, resamples=50)
    assert (found.dialogues, found.replies) == (16, 48)
    assert found.scores["inform"].value == found.scores["success"].value == indian
    bleu = found.scores["bleu"].value  # contexts that read alike had replies that differ in one word
    assert 90 < bleu < 100 and found.scores["combined"].value == pytest.approx(bleu + indian)
    low, high = found.scores["success"].interval
    assert 10 < low < indian < high < 95
    silent = evaluate(replies, Say("", replies.task), 0, dialogues=1, resamples=5)
    assert silent.replies == 3 and silent.scores["combined"].value == 0
    assert "1 dialogues, 3 replies" in in_words(silent)[0][1]


def test_what_cannot_be_measured_is_refused_in_words(replies):
    with pytest.raises(ValueError, match="dialogues must be at least 1"):
        evaluate(replies, Say("", replies.task), 0, dialogues=0)
    env = language_vec("Dialogue-chrF-v0", 1)
    with pytest.raises(ValueError, match=r"corpus=multiwoz.*got Dialogue with the corpus 'service'"):
        evaluate(env, Say("", env.task), 0)


def test_an_experiment_can_name_it(replies, indian):
    played = Played(replies, Episodes.from_list([]), policy=HumanReply(replies.task))
    assert MEASURES["multiwoz"](played)["inform"] == indian
    assert MEASURES["multiwoz"](Played(replies, Episodes.from_list([]))) == {}


def test_the_command(folder, tmp_path, capsys):
    options = ["corpus=multiwoz", f"path={folder}"]
    data, run = str(tmp_path / "data"), str(tmp_path / "run")
    assert cli.main(["record", "dialogue-human", "--out", data, "--set", *options, "env_id=Dialogue-chrF-v0"]) == 0
    train = [
        "train",
        "bc",
        "--data",
        data,
        "--out",
        run,
        "--steps",
        "1",
        "--batch-size",
        "4",
        "--decoding-episodes",
        "0",
    ]
    assert cli.main(train) == 0
    capsys.readouterr()
    assert cli.main(["eval", run, "--measure", "multiwoz", "--episodes", "3"]) == 0
    out = capsys.readouterr().out
    assert "MultiWOZ, 3 dialogues, 9 replies" in out
    assert all(name in out for name in ("inform", "success", "bleu", "combined"))


def test_the_texts_are_read_as_before(folder, corpus):
    assert list(multiwoz.read(folder)) == [one.dialogue for one in corpus.dialogues]
