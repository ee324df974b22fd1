"""Readers of dialogues about images, on small files of each layout, sound and damaged; the world made from them."""

import json
from zlib import crc32

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import save_file

from datasets_builders.recipes import build
from datasets_builders.visual_dialogue import QUESTIONERS
from lang_envs.adoption import set_markup
from lang_envs.corpora.files import CorpusError
from lang_envs.corpora.visdial.features import from_dialogues, from_file, from_objects
from lang_envs.corpora.visdial.visdial import ImageDialogue, read_visdial
from lang_envs.corpora.visdial.vispro import joined, read_vispro
from lang_envs.corpora.visdial.world import VisdialWorld
from lang_envs.rewards import encoder
from lang_envs.tasks.visual_dialogue import VisualDialogue
from lang_envs.tokenizers import character_tokenizer, decode

OFFICIAL = {
    "version": "1.0",
    "split": "val2018",
    "data": {
        "questions": ["is it sunny", "any people", "what color is the cat"],
        "answers": ["yes", "no", "black"],
        "dialogs": [
            {
                "image_id": 7,
                "caption": "a cat  on a mat",
                "dialog": [
                    {"question": 2, "answer": 2, "answer_options": [0, 1], "gt_index": 0},
                    {"question": 0, "answer": 1},
                ],
            },
            {"image_id": 9, "caption": "a field", "dialog": [{"question": 1, "answer": 1}, {"question": 0}]},
        ],
    },
}
VISPRO = {
    "sentences": [["A", "cat", "."], ["Is", "it", "black", "?"], ["I", "ca", "n't", "tell", "."], ["Why", "?"]],
    "image_file": "COCO_val2014_000000000007.jpg",
    "object_detection": [17, 90, 1],
    "clusters": [],
}


def written(path, value):
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return path


def changed(keys, value):
    """The official file with one field changed; DELETED where the value is Ellipsis."""
    data = json.loads(json.dumps(OFFICIAL))
    *path, last = keys
    place = data
    for key in path:
        place = place[key]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return data


def words_of(texts):
    """A stand-in for the sentence encoder: a unit vector of hashed words."""
    vectors = np.zeros((len(texts), 64), np.float32)
    for row, text in enumerate(texts):
        for word in text.split():
            vectors[row, crc32(word.encode()) % 64] += 1
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)


def test_the_official_layout(tmp_path):
    cat, field = read_visdial(written(tmp_path / "visdial_1.0_val.json", OFFICIAL))
    assert cat == ImageDialogue("7", "a cat on a mat", (("what color is the cat", "black"), ("is it sunny", "no")))
    assert field.rounds == (("any people", "no"),)  # the question that nobody answered is left out


def test_the_name_of_a_special_token_is_text(tmp_path):
    cat, _ = read_visdial(
        written(tmp_path / "a.json", changed(["data", "dialogs", 0, "caption"], "a <|user|> on a mat"))
    )
    assert cat.caption == "a <|user|> on a mat"


def test_a_test_split_dialogue_of_one_open_question_is_left_out(tmp_path):
    data = changed(["data", "dialogs", 1, "dialog"], [{"question": 1, "answer_options": [0]}])
    assert [d.image for d in read_visdial(written(tmp_path / "visdial_1.0_test.json", data))] == ["7"]


def test_the_validation_file_is_the_one_that_is_found(tmp_path, monkeypatch):
    folder = tmp_path / "visual_dialogue"
    folder.mkdir()
    monkeypatch.setenv("LANG_ENVS_DATA", str(tmp_path))
    written(folder / "visdial_1.0_val_dense_annotations.json", [])
    with pytest.raises(CorpusError, match="expected a file of dialogues"):
        VisdialWorld.read("visdial")
    for split in ("test", "train", "val"):
        written(folder / f"visdial_1.0_{split}.json", "{" if split != "val" else changed(["data", "dialogs"], []))
    with pytest.raises(CorpusError, match=r"visdial_1\.0_val\.json: expected dialogues"):
        VisdialWorld.read("visdial")


@pytest.mark.parametrize(
    ("keys", "value", "message"),
    [
        (["data"], ..., r"field 'data': missing; the record has \['split', 'version'\]"),
        (["data", "answers"], "yes", "field 'answers': expected list"),
        (["data", "dialogs"], [], "expected dialogues about images, found none"),
        (["data", "dialogs", 0, "caption"], ..., "dialogue 0, field 'caption': missing"),
        (["data", "dialogs", 1, "caption"], " ", "dialogue 1, field 'caption': expected a text"),
        (["data", "dialogs", 0, "dialog", 1, "question"], 3, "dialogue 0, round 1, question: 3 is out of range"),
        (["data", "dialogs", 0, "dialog", 0, "answer"], "2", "round 0, field 'answer': expected int"),
        (["data", "dialogs", 0, "dialog", 0, "answer"], ..., "round 0, field 'answer': missing"),
        (["data", "dialogs", 1, "image_id"], 7, "image '7' is there twice"),
        (["data", "dialogs", 1, "dialog"], [], "field 'dialog': expected at least one question"),
        (["data", "answers", 2], None, "expected a text at 2 of the pool, got nothing"),
    ],
)
def test_a_damaged_official_file(tmp_path, keys, value, message):
    with pytest.raises(CorpusError, match=message) as error:
        read_visdial(written(tmp_path / "some.json", changed(keys, value)))
    assert "some.json" in str(error.value)


def test_files_that_are_something_else(tmp_path):
    for name, text in (("cut.json", json.dumps(OFFICIAL)[:-40]), ("list.json", "[1]"), ("text.parquet", "caption")):
        with pytest.raises(CorpusError, match=name):
            read_visdial(written(tmp_path / name, text))
    for name in ("none.json", "none.parquet"):
        with pytest.raises(CorpusError, match="there is no file"):
            read_visdial(tmp_path / name)


def test_the_hub_layout(tmp_path):
    rows = {
        "caption": ["a cat", "a dog"],
        "dialog": [[["is it big", "no"]], [["why", "so"]]],
        "image_path": ["1.jpg", "2.jpg"],
    }
    pq.write_table(pa.table(rows), tmp_path / "val.parquet")
    assert read_visdial(tmp_path / "val.parquet")[0] == ImageDialogue("1.jpg", "a cat", (("is it big", "no"),))
    pq.write_table(pa.table(rows | {"dialog": [[["is it big"]], [["why", "so"]]]}), tmp_path / "odd.parquet")
    with pytest.raises(CorpusError, match=r"odd.parquet, row 0, field 'dialog': expected pairs"):
        read_visdial(tmp_path / "odd.parquet")
    pq.write_table(pa.table({"caption": ["a cat"]}), tmp_path / "less.parquet")
    with pytest.raises(CorpusError, match=r"'dialog', 'image_path'\] are missing"):
        read_visdial(tmp_path / "less.parquet")


def test_vispro(tmp_path):
    (dialogue,) = read_vispro(written(tmp_path / "val.jsonlines", json.dumps(VISPRO) + "\n\n"))
    assert dialogue.caption == "a cat" and dialogue.rounds == (("is it black?", "i can't tell"),)
    assert dialogue.objects == (15, 79, 0)
    assert np.flatnonzero(from_objects([dialogue])[0]).tolist() == [0, 15, 79]
    assert joined(["it", "'s", "red", ",", "is", "n't", "it", "?"]) == "it's red, isn't it?"


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("object_detection", [12], "line 1, field 'object_detection': expected ids of COCO categories, got int 12"),
        ("object_detection", ["1"], "expected ids of COCO categories, got str '1'"),
        ("sentences", [["A", "cat"]], "expected a caption, a question and an answer"),
        ("sentences", ["A cat"], "expected lists of words"),
        ("image_file", 7, "field 'image_file': expected str"),
    ],
)
def test_damaged_vispro(tmp_path, field, value, message):
    with pytest.raises(CorpusError, match=message):
        read_vispro(written(tmp_path / "val.jsonlines", json.dumps(VISPRO | {field: value})))


def test_features_from_files(tmp_path):
    dialogues = read_visdial(written(tmp_path / "v.json", OFFICIAL))
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.save(tmp_path / "f.npy", values)
    assert (from_file(tmp_path / "f.npy", dialogues) == values).all()
    save_file({"features": values, "image_id": np.array([9, 7])}, tmp_path / "f.safetensors")
    assert (from_file(tmp_path / "f.safetensors", dialogues) == values[::-1]).all()
    save_file({"features": values, "image_id": np.array([9, 8])}, tmp_path / "g.safetensors")
    np.save(tmp_path / "short.npy", values[:1])
    np.save(tmp_path / "nan.npy", values * np.nan)
    written(tmp_path / "t.npy", "no array")
    written(tmp_path / "t.safetensors", "no tensors")
    for name, message in (
        ("g.safetensors", "no row for 1 images, '7' among them"),
        ("short.npy", "a row for each of 2 dialogues, got 1"),
        ("nan.npy", "expected finite numbers"),
        ("t.npy", "as numpy.save writes it"),
        ("t.safetensors", "expected a safetensors file"),
        ("t.csv", "there is no file"),
        ("v.json", "expected .npy or .safetensors"),
    ):
        with pytest.raises(CorpusError, match=message):
            from_file(tmp_path / name, dialogues)


ANIMALS, COLOURS = ("cat", "dog", "horse", "bird"), ("black", "white", "red", "brown", "grey")


def small_world(threshold=0.6):
    """Eighty images: what animal, and its colour, both of which dialogues tell."""
    rng = np.random.default_rng(0)
    dialogues, features = [], []
    for image in range(80):
        animal, colour = int(rng.integers(4)), int(rng.integers(5))
        rounds = (
            ("what color is it", COLOURS[colour]),
            ("is it a photo", "yes"),
            ("what animal is it", ANIMALS[animal]),
        )
        dialogues.append(ImageDialogue(str(image), "an animal outside", rounds))
        features.append(np.concatenate([np.eye(4)[animal], np.eye(5)[colour], 0.01 * rng.random(3)]))
    return VisdialWorld(dialogues, np.array(features, np.float32), words_of, threshold)


def test_the_answer_to_the_nearest_question_is_given():
    world = small_world()
    n = len(world.captions)
    views, _ = world.begin(range(n))
    answers, _, _ = world.ask(range(n), views, ["what color is it then"] * n)
    assert answers == [dialogue.rounds[0][1] for dialogue in world.dialogues]
    assert set(world.ask(range(n), views, ["how many clouds"] * n)[0]) == {"can't tell"}
    assert "can't tell" not in small_world(threshold=-1).ask(range(n), views, ["how many clouds"] * n)[0]


def test_the_guesser_learns_from_answers():
    world = small_world()
    n = len(world.captions)
    assert n == 40 and len(world.questions) == 3
    views, start = world.begin(range(n))
    _, views, colour = world.ask(range(n), views, ["what color is it"] * n)
    _, views, animal = world.ask(range(n), views, ["what animal is it"] * n)
    assert start.mean() < 0.6 < 0.75 < colour.mean() < animal.mean() - 0.05
    for percentiles in (start, colour, animal):
        assert percentiles.min() >= 0 and percentiles.max() <= 1 - 1 / n


def test_images_with_the_same_features_tie_in_a_batch_of_any_size():
    rng = np.random.default_rng(0)
    features = (rng.random((250, 80)) < 0.05).astype(np.float32)
    features[::3] = features[0]
    dialogues = [
        ImageDialogue(str(i), f"{COLOURS[i % 5]} {i}", ((f"why {i % 7}", f"so {i % 11}"),)) for i in range(250)
    ]
    world = VisdialWorld(dialogues, features, words_of)
    every = range(len(world.captions))
    _, together = world.begin(every)
    assert together.tolist() == [world.begin([context])[1][0] for context in every]


def test_a_world_says_what_it_needs():
    dialogues = [ImageDialogue(str(i), "a cat", (("why", "so"),)) for i in range(4)]
    with pytest.raises(ValueError, match="at least 4 dialogues"):
        VisdialWorld(dialogues[:3], np.ones((3, 2), np.float32), words_of)
    with pytest.raises(ValueError, match="features of 4 images"):
        VisdialWorld(dialogues, np.ones((3, 2), np.float32), words_of)
    with pytest.raises(ValueError, match="cosine from -1 to 1, got 2"):
        VisdialWorld(dialogues, np.ones((4, 2), np.float32), words_of, threshold=2)
    assert from_dialogues(dialogues, words_of).shape == (4, 64)


@pytest.fixture
def logged(tmp_path, monkeypatch):
    """A VisPro file of eight dialogues, two of them too short to play, read with the stand-in encoder."""
    monkeypatch.setattr(encoder, "Encoder", lambda: type("Words", (), {"embed": staticmethod(words_of)}))
    records = []
    for image in range(12):
        said = [
            ["Is", "it", COLOURS[r % 5], str(r), "?"] if q else ["No", str(image)] for r in range(10) for q in (1, 0)
        ]
        own = said if image % 4 else said[:6]
        records.append(VISPRO | {"sentences": [["Cat", str(image)], *own], "image_file": f"{image}.jpg"})
    return str(written(tmp_path / "logs.jsonlines", "\n".join(map(json.dumps, records))))


def test_what_people_asked_becomes_a_data_set(tmp_path, logged):
    dataset = build("visual-dialogue-human", None, tmp_path / "human", world=logged, progress=False)
    task = VisualDialogue(world=logged)
    whole = [context for context, d in enumerate(task.world.dialogues) if len(d.rounds) == 10]
    contexts = [episode.info["context"] for episode in dataset]
    assert set(whole) <= set(contexts) and contexts == sorted(set(contexts))
    for episode in dataset:
        assert episode.terminated and episode.info["policy"] == "human"
        assert episode.info["success"] or episode.ret == -9
    with pytest.raises(ValueError, match="the built-in scenes have no human questions"):
        build("visual-dialogue-human", None, tmp_path / "none", progress=False)


def test_questioners_speak_the_tokens_of_the_environment():
    letters = [*map(chr, range(32, 127)), "<pad>", "<end>"]
    characters = set_markup(character_tokenizer(letters, end_token="<end>", pad_token="<pad>"), "plain")
    for questioner in QUESTIONERS.values():
        [turn] = questioner(VisualDialogue(pool=30), characters).act(
            [np.zeros(1, np.int32)], [np.random.default_rng(0)]
        )
        assert turn.tokens.max() < len(letters) and " " in decode(characters, [turn.tokens])[0]


def test_scripted_questioners_become_a_data_set(tmp_path):
    dataset = build("visual-dialogue", 120, tmp_path / "a", env_id="VisualDialogue-YesNo-v0", pool=60, progress=False)
    again = build("visual-dialogue", 40, tmp_path / "b", env_id="VisualDialogue-YesNo-v0", pool=60, progress=False)
    assert all(a.same_as(b) for a, b in zip(dataset, again, strict=False))
    policies = [episode.info["policy"] for episode in dataset]
    assert set(policies) == {"yes-no", "random", "repetitive", "informative"}
    assert policies.count("yes-no") > 45
    with pytest.raises(ValueError, match="shares are 4 numbers"):
        build("visual-dialogue", 5, tmp_path / "c", shares=(1, 1), progress=False)
