"""The official dialogue files: their numbers of dialogues and turns, and that all of them are read."""

import pytest

from lang_envs.corpora.dialogues import abcd, by_name, multiwoz, taskmaster
from lang_envs.corpora.dialogues.dialogue import examples


@pytest.fixture
def dialogues(real_data):
    return real_data / "dialogue"


def replies(found):
    return sum(speaker == "agent" for dialogue in found for speaker, _ in dialogue.turns)


def test_multiwoz_21(dialogues):
    found = list(multiwoz.read(dialogues / "multiwoz21"))
    assert (len(found), replies(found)) == (999, 7_365)
    assert {dialogue.split for dialogue in found} == {"validation"}
    first = next(dialogue for dialogue in found if dialogue.id == "PMUL1635")
    assert first.turns[1] == ("agent", "I can help you with that . What is your price range ?")
    assert "\n" not in "".join(text for _, text in first.turns)


def test_multiwoz_22(dialogues):
    found = list(multiwoz.read(dialogues / "multiwoz22_sample"))
    assert len(found) == 5 and found[0].id == "SSNG0007.json"
    assert all(speaker == ("user", "agent")[i % 2] for d in found for i, (speaker, _) in enumerate(d.turns))


def test_abcd(dialogues):
    found = list(abcd.read(dialogues / "abcd_sample"))
    assert len(found) == 3
    assert found[0].turns[:3] == (
        ("agent", "Hi!"),
        ("agent", "How can I help you?"),
        ("user", "Hi! I need to return an item, can you help me with that?"),
    )
    assert not any("pulled up" in text for _, text in found[0].turns)  # what an action row says


def test_taskmaster(dialogues):
    found = list(taskmaster.read(dialogues / "taskmaster4"))
    assert (len(found), replies(found)) == (2_000, 3_720)
    assert len(list(taskmaster.read(dialogues / "taskmaster3"))) == 5


@pytest.mark.parametrize(
    ("folder", "verdicts", "texts", "approved"), [("taskmaster3", 3_000, 1_389, 139), ("taskmaster4", 2_000, 481, 393)]
)
def test_verdicts(dialogues, folder, verdicts, texts, approved):
    found = list(taskmaster.read_verdicts(dialogues / folder))
    said = [verdict for verdict in found if not verdict.is_api_call]
    assert (len(found), len(said), sum(verdict.reward for verdict in said)) == (verdicts, texts, approved)
    assert not any("role" in text for verdict in said for _, text in verdict.context)


@pytest.mark.parametrize(
    ("corpus", "split"),
    [("multiwoz", "validation"), ("multiwoz22_sample", "train"), ("abcd", "train"), ("taskmaster4", "test")],
)
def test_corpora_by_name(dialogues, corpus, split):
    assert len(by_name.load(corpus, split)) > 0


def test_the_training_data_of_one_corpus_is_no_other_file(dialogues):
    with pytest.raises(ValueError, match=r"no dialogue in the split 'train'.*'validation': 999"):
        by_name.load("multiwoz", "train")


def test_examples_are_shared_not_copied(dialogues):
    found = list(examples(multiwoz.read(dialogues / "multiwoz21")))
    assert len({id(example.turns) for example in found}) == 999
