"""The published dialogues about images: their content, and the results of the answerer and the guesser on them."""

import gzip

import numpy as np
import pytest

from lang_envs import rollout
from lang_envs.corpora.files import CorpusError, read_json
from lang_envs.corpora.scenes.questions import parse
from lang_envs.corpora.visdial.visdial import read_visdial
from lang_envs.corpora.visdial.vispro import read_vispro
from lang_envs.corpora.visdial.world import VisdialWorld
from lang_envs.make import language_vec
from lang_envs.policies.visual_dialogue import RandomQuestions


@pytest.fixture(scope="module")
def folder(real_data):
    return real_data / "visual_dialogue"


@pytest.fixture(scope="module")
def official(folder):
    return folder / "visdial_v1_subset" / "visdial_1.0_val_vispro.json.gz"


@pytest.fixture(scope="module")
def vispro(folder):
    return folder / "vispro" / "val.vispro.1.1.jsonlines.gz"


def test_visdial(official):
    dialogues = read_visdial(official)
    assert len(dialogues) == 76 and {len(d.rounds) for d in dialogues} == {10}
    first = dialogues[0]
    assert first.image == "97915" and first.caption.startswith("a woman sitting at a table")
    assert first.rounds[0] == ("is it a smartphone", "yes")


def test_vispro(vispro):
    dialogues = read_vispro(vispro)
    assert len(dialogues) == 500 and sum(len(d.rounds) == 10 for d in dialogues) >= 470
    first = dialogues[0]
    assert first.caption == "a white and blue bus parked next to a fence"
    assert first.rounds[0] == ("how large is the bus?", "average city bus size")
    assert not any(" n't" in text or text.endswith(" .") for d in dialogues for pair in d.rounds for text in pair)
    bare = np.mean([answer in ("yes", "no") for d in dialogues for _, answer in d.rounds])
    assert 0.25 < bare < 0.5


def test_files_of_another_kind(folder, official, vispro):
    with pytest.raises(CorpusError, match=r"dense_annotations.*'data'"):
        read_visdial(folder / "visdial_v1_subset" / "visdial_1.0_val_dense_annotations_vispro.json")
    with pytest.raises(CorpusError, match="vispro"):
        read_visdial(vispro)
    with pytest.raises(CorpusError, match="sentences"):
        read_vispro(official)


def test_half_of_what_people_ask_is_understood_of_the_built_in_scenes(official):
    questions = read_json(official)["data"]["questions"][::40]
    assert np.mean([parse(question) is not None for question in questions]) > 0.45


@pytest.fixture(scope="module")
def some(vispro, tmp_path_factory):
    """The first dialogues, few, since the encoder takes its time."""
    path = tmp_path_factory.mktemp("vispro") / "some.jsonlines"
    with gzip.open(vispro, "rt", encoding="utf-8") as file:
        path.write_text("".join(line for line, _ in zip(file, range(16), strict=False)), encoding="utf-8")
    return path


def test_human_questions_are_answered_as_they_were(some):
    world = VisdialWorld.read(some)
    contexts = [context for context, d in enumerate(world.dialogues) if len(d.rounds) == 10]
    views, _ = world.begin(contexts)
    for turn in range(10):
        pairs = [world.dialogues[context].rounds[turn] for context in contexts]
        answers, views, percentiles = world.ask(contexts, views, [question for question, _ in pairs])
        # a question asked twice of one image may get its other answer
        assert np.mean([a == b for a, (_, b) in zip(answers, pairs, strict=True)]) > 0.9
        assert percentiles.min() >= 0 and percentiles.max() <= 1 - 1 / len(world.captions)


def test_the_environment_on_real_dialogues(some):
    env = language_vec("VisualDialogue-YesNo-v0", 8, world=str(some))
    episodes = list(rollout(env, RandomQuestions(env.task), range(8)))
    assert all(episode.terminated for episode in episodes)
    assert len({episode.info["context"] for episode in episodes}) > 2
