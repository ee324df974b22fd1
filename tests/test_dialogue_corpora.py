"""Readers of dialogue files: each layout, and each way in which a file can be wrong."""

import gzip
import json
import zipfile

import pytest

from lang_envs.conversation import assistant, user
from lang_envs.corpora.dialogues import abcd, by_name, multiwoz, plain, service, taskmaster
from lang_envs.corpora.dialogues.dialogue import SPLITS, Dialogue, examples, in_split
from lang_envs.corpora.files import CorpusError
from lang_envs.corpora.json_stream import JsonStream

TURNS = (("user", "a room please"), ("agent", "For which day?"), ("user", "Friday"), ("agent", "Done. Bye!"))
TEXTS = [text for _, text in TURNS]


def write(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    text = value if isinstance(value, str) else json.dumps(value)
    with gzip.open(path, "wt") if path.suffix == ".gz" else path.open("w") as file:
        file.write(text)
    return path


def woz21(*names):
    return {name: {"goal": {}, "log": [{"text": text, "metadata": {}} for text in TEXTS]} for name in names}


def woz22(name):
    speakers = ["USER", "SYSTEM"] * 2
    turns = [{"speaker": s, "utterance": t, "frames": []} for s, t in zip(speakers, TEXTS, strict=True)]
    return {"dialogue_id": name, "services": [], "turns": turns}


def hub(name):
    return {"dialogue_id": name, "turns": {"turn_id": list("0123"), "speaker": [0, 1, 0, 1], "utterance": TEXTS}}


def conversation(name):
    rows = [["customer", TEXTS[0]], ["action", "Looked it up."], ["agent", TEXTS[1]]]
    return {"convo_id": name, "original": [*rows, ["customer", TEXTS[2]], ["agent", TEXTS[3]]], "delexed": []}


def movie(name):
    speakers = ["user", "ASSISTANT"] * 2
    said = [{"index": i, "speaker": s, "text": t} for i, (s, t) in enumerate(zip(speakers, TEXTS, strict=True))]
    return {"conversation_id": name, "utterances": said}


def verdict(name, reward=1.0, generation=None):
    called = [{"role": "agent", "api": {"find": {}}}, {"role": "api", "response": {"find": []}}]
    context = [{"role": "agent", "text": "Hello"}, {"role": "user", "text": "a film"}, *called]
    generation = generation or {"role": "agent", "text": "Which one?"}
    inner = {"context": json.dumps(context), "generation": json.dumps(generation)}
    return {"conversation_id": name, **inner, "reward": reward}


def own(name, **more):
    return {"id": name, "turns": [{"speaker": s, "text": t} for s, t in TURNS], **more}


def jsonl(*records):
    return "".join(json.dumps(record) + "\n" for record in records)


LAYOUTS = {
    "MultiWOZ 2.1": (multiwoz.read, "data.json", woz21("a", "b")),
    "MultiWOZ 2.2": (multiwoz.read, "dialogues_001.json.gz", [woz22("a"), woz22("b")]),
    "the hub's, an array": (multiwoz.read, "rows.json", [hub("a"), hub("b")]),
    "the hub's, lines": (multiwoz.read, "rows.jsonl", jsonl(hub("a"), hub("b"))),
    "ABCD, the sample": (abcd.read, "abcd_sample.json", [conversation("a"), conversation("b")]),
    "ABCD": (abcd.read, "abcd_v1.1.json.gz", {"train": [conversation("a")], "dev": [], "test": [conversation("b")]}),
    "Taskmaster": (taskmaster.read, "data_00.json", [movie("a"), movie("b")]),
    "JSON lines": (plain.read, "mine.jsonl", jsonl(own("a"), own("b"))),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_dialogues(layout, tmp_path):
    read, name, value = LAYOUTS[layout]
    path = write(tmp_path / name, value)
    assert [(d.id, d.turns) for d in read(path)] == [("a", TURNS), ("b", TURNS)]


def test_a_zip_of_one_file(tmp_path):
    with zipfile.ZipFile(tmp_path / "val.json.zip", "w") as archive:
        archive.writestr("val.json", json.dumps(woz21("a")))
    assert [(d.turns, d.split) for d in multiwoz.read(tmp_path / "val.json.zip")] == [(TURNS, "validation")]


def test_the_hub_columns_as_parquet(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist([hub("a"), hub("b")]), tmp_path / "validation-00000.parquet")
    found = list(multiwoz.read(tmp_path))
    assert [(d.id, d.turns, d.split) for d in found] == [("a", TURNS, "validation"), ("b", TURNS, "validation")]


def test_official_splits(tmp_path):
    for part, name in (("train", "a"), ("dev", "b"), ("test", "c")):
        write(tmp_path / "22" / part / "dialogues_001.json", [woz22(name)])
    write(tmp_path / "22" / "schema.json", [{"service_name": "hotel"}])
    assert {d.id: d.split for d in multiwoz.read(tmp_path / "22")} == dict(zip("abc", SPLITS, strict=True))
    write(tmp_path / "21" / "data.json", woz21("a.json", "b.json", "c.json"))
    write(tmp_path / "21" / "valListFile.txt", "b.json\n")
    write(tmp_path / "21" / "testListFile.txt", "c.json\n")
    assert [d.split for d in multiwoz.read(tmp_path / "21")] == list(SPLITS)
    write(tmp_path / "abcd" / "abcd_v1.1.json", {key: [conversation(i)] for i, key in enumerate(("train", "dev"))})
    assert [(d.id, d.split) for d in abcd.read(tmp_path / "abcd")] == [("0", "train"), ("1", "validation")]
    write(tmp_path / "own.jsonl", jsonl(own("a", split="test"), own("b")))
    assert [d.split for d in plain.read(tmp_path / "own.jsonl")] == ["test", None]


def test_one_official_list_without_the_other_is_refused(tmp_path):
    write(tmp_path / "data.json", woz21("a.json"))
    write(tmp_path / "valListFile.txt", "a.json\n")
    with pytest.raises(CorpusError, match="testListFile is missing"):
        list(multiwoz.read(tmp_path))


def test_the_shards_of_schema_guided_dialogue_number_their_dialogues_anew(tmp_path):
    for split in ("train", "dev"):
        write(tmp_path / split / "dialogues_001.json", [woz22("1_00000")])
    assert [dialogue.split for dialogue in multiwoz.read(tmp_path)] == ["validation", "train"]
    write(tmp_path / "train" / "dialogues_002.json", [woz22("1_00000")])
    with pytest.raises(CorpusError, match="'1_00000' is there twice"):
        list(multiwoz.read(tmp_path))


def test_the_sample_beside_the_whole_of_abcd_is_part_of_it(tmp_path):
    write(tmp_path / "data" / "abcd_sample.json", [conversation("a")])
    assert [dialogue.id for dialogue in abcd.read(tmp_path)] == ["a"]
    write(tmp_path / "data" / "abcd_v1.1.json.gz", {"train": [conversation("a")], "dev": [], "test": []})
    assert [(dialogue.id, dialogue.split) for dialogue in abcd.read(tmp_path)] == [("a", "train")]


def test_dialogues_without_a_split_are_dealt_out_whole():
    dialogues = [Dialogue(str(i), TURNS) for i in range(200)]
    parts = {split: in_split(dialogues, split) for split in SPLITS}
    assert [len(parts[split]) for split in SPLITS] == [160, 20, 20]
    assert {d.id for part in parts.values() for d in part} == {d.id for d in dialogues}
    assert parts["test"] == in_split(dialogues, "test") != in_split(dialogues, "test", seed=1)
    with pytest.raises(ValueError, match=r"'train'.*'test': 1"):
        in_split([Dialogue("a", TURNS, "test")], "train")
    with pytest.raises(ValueError, match="split must be one of"):
        in_split(dialogues, "dev")


def test_every_agent_turn_is_an_example():
    found = list(examples([Dialogue("a", TURNS), Dialogue("b", (("agent", "Hi"), ("agent", "Well?")))]))
    assert [(e.context, e.response) for e in found] == [
        ((user(TURNS[0][1]),), "For which day?"),
        ((user(TURNS[0][1]), assistant(TURNS[1][1]), user(TURNS[2][1])), "Done. Bye!"),
        ((), "Hi"),
        ((assistant("Hi"),), "Well?"),
    ]


def test_the_name_of_a_special_token_is_text(tmp_path):
    turns = [{"speaker": "user", "text": "<|agent|> yes"}, {"speaker": "agent", "text": "no <|end|>"}]
    [dialogue] = plain.read(write(tmp_path / "my.jsonl", jsonl({"id": "a", "turns": turns})))
    assert dialogue.turns == (("user", "<|agent|> yes"), ("agent", "no <|end|>"))


def test_a_corpus_in_which_no_agent_speaks(tmp_path):
    silent = {"id": "a", "turns": [{"speaker": "user", "text": "anyone?"}]}
    with pytest.raises(ValueError, match=r"expected replies of an agent in the split 'train', got none"):
        by_name.load(write(tmp_path / "my.jsonl", jsonl(silent)), "train")


def test_the_built_in_corpus_has_no_path(tmp_path):
    with pytest.raises(ValueError, match="say which corpus lies at"):
        by_name.load("service", "train", tmp_path)


def test_white_space_is_collapsed_and_silence_left_out(tmp_path):
    turns = [{"speaker": "user", "text": " two\n\tlines "}, {"speaker": "agent", "text": "  "}]
    path = write(tmp_path / "d.jsonl", jsonl({"id": 7, "turns": turns}, {"id": "silent", "turns": turns[1:]}))
    assert list(plain.read(path)) == [Dialogue("7", (("user", "two lines"),))]


def test_verdicts(tmp_path):
    call = {"role": "agent", "api": {"book": {"n": 2}}}
    write(tmp_path / "reward_00.json", [verdict("a"), verdict("b", 0.0, call)])
    first, second = taskmaster.read_verdicts(tmp_path)
    assert first.context == (("agent", "Hello"), ("user", "a film"))
    assert (first.reply, first.reward, first.is_api_call) == ("Which one?", 1.0, False)
    assert (second.reply, second.reward, second.is_api_call) == ('{"book": {"n": 2}}', 0.0, True)


def without(record, key):
    return {k: v for k, v in record.items() if k != key}


def with_first_turn(record, **changes):
    return {**record, "turns": [{**record["turns"][0], **changes}, *record["turns"][1:]]}


WRONG = {
    "no log": (multiwoz.read, "data.json", {"a": {"goal": {}}}, r"data.json, 'a', field 'turns': missing"),
    "a log without text": (multiwoz.read, "data.json", {"a": {"log": [{}]}}, r"'a', log 0, field 'text': missing"),
    "a log of no objects": (multiwoz.read, "data.json", {"a": {"log": ["hi"]}}, r"log 0.*object.*got str 'hi'"),
    "not an object": (multiwoz.read, "data.json", {"a": 3}, r"'a', field 'dialogue_id': expected an object.*got int 3"),
    "another file's list": (multiwoz.read, "data.json", [["hotel-area"]], r"record 0, field .*: expected an object"),
    "a number": (multiwoz.read, "data.json", "12", r"data.json: expected an array, got 12"),
    "an empty file": (multiwoz.read, "data.json", "", r"expected JSON .*cut short"),
    "no id": (multiwoz.read, "x.json", [without(woz22("a"), "dialogue_id")], r"record 0, field 'dialogue_id': missing"),
    "an unknown speaker": (
        multiwoz.read, "x.json", [woz22("a"), with_first_turn(woz22("b"), speaker="BOT")],
        r"record 1, turn 0, field 'speaker': expected one of .*got str 'BOT'",
    ),
    "text that is none": (
        multiwoz.read, "x.json", [with_first_turn(woz22("a"), utterance=None)],
        r"turn 0, field 'utterance': expected str, got nothing",
    ),
    "columns of two lengths": (
        multiwoz.read, "x.jsonl", jsonl({"dialogue_id": "a", "turns": {"speaker": [0], "utterance": []}}),
        r"line 1, turns: 1 of 'speaker', but 0",
    ),
    "the same id twice": (multiwoz.read, "x.json", [woz22("a"), woz22("a")], r"'a' is there twice"),
    "the same key twice": (
        multiwoz.read, "data.json", '{"a": {"log": []}, "a": {"log": []}}', r"'a' is there twice",
    ),
    "an unknown part": (abcd.read, "abcd.json", {"valid": []}, r"'valid': expected one of \['train', 'dev', 'test'\]"),
    "a row of one": (abcd.read, "abcd.json", [{"convo_id": 1, "original": [["agent"]]}], r"row 0: expected \[speaker"),
    "no utterances": (taskmaster.read, "data.json", [{"conversation_id": "a"}], r"field 'utterances': missing"),
    "a cut line": (plain.read, "d.jsonl", jsonl(own("a")) + '{"id": "b", "tur', r"line 2: expected JSON"),
    "an unknown split": (plain.read, "d.jsonl", jsonl(own("a", split="dev")), r"line 1, field 'split'.*'dev'"),
    "half a character": (
        plain.read, "d.jsonl", jsonl({"id": 1, "turns": [{"speaker": "user", "text": "hi \ud83d"}]}), r"half a char",
    ),
    "a context that is no JSON": (
        taskmaster.read_verdicts, "reward.json", [{**verdict("a"), "context": "["}], r"field 'context': expected JSON",
    ),
    "a verdict that is a text": (
        taskmaster.read_verdicts, "reward.json", [verdict("a", "good")],
        r"record 0, field 'reward': expected float, got str 'good'",
    ),
    "a verdict of true": (
        taskmaster.read_verdicts, "reward.json", [verdict("a", True)], r"'reward': expected float, got bool True",
    ),
    "a context too deep": (
        taskmaster.read_verdicts, "reward.json", [{**verdict("a"), "context": "[" * 9_000 + "]" * 9_000}],
        r"field 'context': expected JSON nested at most 200 deep",
    ),
    "an id that is a list": (plain.read, "d.jsonl", jsonl(own(["a"])), r"line 1, field 'id': expected str, got list"),
    "a verdict of two": (
        taskmaster.read_verdicts, "reward.json", [verdict("a", 2)], r"'reward': expected 0 or 1, got 2",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", WRONG)
def test_what_is_wrong_is_named(fault, tmp_path):
    read, name, value, message = WRONG[fault]
    path = write(tmp_path / name, value)
    with pytest.raises(CorpusError, match=message) as caught:
        list(read(path))
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if "lines" not in name])
def test_a_file_cut_anywhere_is_refused(layout, tmp_path):
    read, name, value = LAYOUTS[layout]
    text = json.dumps(value)
    for at in range(0, len(text), 7):
        path = write(tmp_path / name, text[:at])
        with pytest.raises(CorpusError, match="cut short"):
            list(read(path))


def test_what_is_no_text(tmp_path):
    path = tmp_path / "data.json"
    path.write_bytes(
        json.dumps(woz21("a")).replace("room", "r\u00f6om").encode("latin-1").replace(b"r\\u00f6om", b"r\xf6om")
    )
    with pytest.raises(CorpusError, match=r"data\.json.*expected UTF-8, got byte 0xf6"):
        list(multiwoz.read(path))
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        archive.writestr("a.jpg", b"\xff\xd8\xff")
    with pytest.raises(CorpusError, match=r"photos\.zip"):
        list(multiwoz.read(tmp_path / "photos.zip"))
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        archive.writestr("a.json", "{}")
        archive.writestr("b.json", "{}")
    with pytest.raises(CorpusError, match="zip of one file, got 2"):
        list(multiwoz.read(tmp_path / "two.zip"))
    (tmp_path / "cut.json.gz").write_bytes(gzip.compress(json.dumps(woz21("a")).encode())[:-20])
    with pytest.raises(CorpusError, match=r"cut\.json\.gz.*cannot be decompressed"):
        list(multiwoz.read(tmp_path / "cut.json.gz"))
    (tmp_path / "x.parquet").write_text("{}")
    with pytest.raises(CorpusError, match=r"x\.parquet: expected a whole Parquet file"):
        list(multiwoz.read(tmp_path / "x.parquet"))
    (tmp_path / "none").mkdir()
    with pytest.raises(CorpusError, match=r"none: expected files named abcd"):
        list(abcd.read(tmp_path / "none"))


def test_a_stream_reads_across_its_chunks(tmp_path, monkeypatch):
    from lang_envs.corpora import json_stream

    value = {"a": [1, 23, {"b": "c\u00e9"}], "d": "\ufeff\u2028 x", "e": [], "f": {}}
    path = write(tmp_path / "v.json", json.dumps(value, indent=1, ensure_ascii=False))
    for chunk in (1, 2, 3, 7):
        monkeypatch.setattr(json_stream, "_CHUNK", chunk)
        with JsonStream(path) as stream:
            assert {key: stream.value() for key in stream.members()} == value
            stream.end()
    write(path, "{} {}")
    with JsonStream(path) as stream, pytest.raises(CorpusError, match="JSON lines"):
        list(stream.members())
        stream.end()


def test_named_corpora(tmp_path, monkeypatch):
    monkeypatch.delenv("LANG_ENVS_DATA", raising=False)
    with pytest.raises(CorpusError, match="LANG_ENVS_DATA"):
        by_name.load("multiwoz", "train")
    with pytest.raises(CorpusError, match=r"no dialogue corpus 'multi-woz'.*'multiwoz'"):
        by_name.load("multi-woz", "train")
    monkeypatch.setenv("LANG_ENVS_DATA", str(tmp_path))
    write(tmp_path / "dialogue" / "multiwoz22" / "train" / "dialogues_001.json", [woz22("a")])
    assert len(by_name.load("multiwoz", "train")) == 2
    assert by_name.load("multiwoz22", "train") == by_name.load("multiwoz", "train")
    with pytest.raises(CorpusError, match="there is no 'abcd' here"):
        by_name.load("abcd", "train")
    elsewhere = write(tmp_path / "elsewhere.json", [movie("a")])
    assert len(by_name.load("taskmaster", "train", elsewhere)) == 2
    assert len(by_name.load(write(tmp_path / "my.jsonl", jsonl(own("a"))), "train")) == 2
    monkeypatch.chdir(tmp_path / "dialogue")
    (tmp_path / "dialogue" / "taskmaster").mkdir()  # a download here does not stand for the corpus of its name
    assert len(by_name.load("taskmaster", "train", elsewhere)) == 2


def test_people_approved_of_the_feedback_corpus(tmp_path):
    call = {"role": "agent", "api": {"book": {}}}
    rows = [record for i in range(10) for record in (verdict(i, 1), verdict(i, 0), verdict(i, 1, call))]
    path = write(tmp_path / "reward_00.json", [{**row, "conversation_id": str(row["conversation_id"])} for row in rows])
    found = {split: by_name.load("taskmaster-feedback", split, path) for split in SPLITS}
    assert [len(found[split]) for split in SPLITS] == [8, 1, 1]
    assert {example.response for part in found.values() for example in part} == {"Which one?"}
    assert [len(by_name.verdicts(split, path)) for split in SPLITS] == [24, 3, 3]


def test_the_built_in_dialogues():
    made = service.conversations(400, seed=3)
    assert made == service.conversations.__wrapped__(400, seed=3)
    assert made[:50] == service.conversations(50, seed=3)
    assert made[0] != service.conversations(1, seed=4)[0]
    assert len({c.dialogue.turns for c in made}) == 400
    assert {c.dialogue.id.partition("-")[0] for c in made} == {
        "account", "appointment", "hotel", "parcel", "refund", "restaurant", "taxi", "train"
    }  # fmt: skip
    for made_up in made:
        turns = made_up.dialogue.turns
        assert turns[-1][0] == "agent" and len(turns) == len(made_up.meanings)
        assert not any(character in text for _, text in turns for character in "{}[]|")
        assert all(text and text == " ".join(text.split()) for _, text in turns)


def test_a_meaning_has_many_wordings():
    import numpy as np

    draw = service.drawing(np.random.default_rng(0))
    meanings = [
        meaning
        for made_up in service.conversations(40)
        for (speaker, _), meaning in zip(made_up.dialogue.turns, made_up.meanings, strict=True)
        if speaker == "agent"
    ]
    wordings = [len({meaning.say(draw) for _ in range(50)}) for meaning in meanings]
    assert min(wordings) >= 2 and np.mean(wordings) > 8


def test_what_follows_from_the_slots_is_the_same_everywhere():
    hotels = {}
    for made_up in service.conversations(600):
        for meaning in made_up.meanings:
            if "hotel" in meaning.slots:
                hotels.setdefault((meaning.slots["price"], meaning.slots["area"]), set()).add(meaning.slots["hotel"])
    assert len(hotels) == 15 and all(len(names) == 1 for names in hotels.values())
