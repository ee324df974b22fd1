"""``lang-envs import``: files of every kind, what is written, the limits, and what is refused."""

import bz2
import csv
import gzip
import json
import lzma
import re
import zipfile

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from chat_tokenizers import CHATML, FAMILIES, chat_tokenizer
from text_models import save_text_model

from agents import cli
from agents.data.log_facts import check_lengths
from agents.data.source import Logged
from datasets_builders import DatasetError, EpisodeDataset
from datasets_builders.logs import reading_progress, rows
from datasets_builders.logs.importing import Options
from datasets_builders.logs.limits import Limits
from datasets_builders.logs.rows import of_sources, rows_of
from datasets_builders.logs.table import Named
from datasets_builders.logs.writing import HELD_OUT, import_logs
from lang_envs import progress
from lang_envs.adoption import adopt
from lang_envs.corpora.bytes_read import watched
from lang_envs.corpora.files import CorpusError
from lang_envs.corpora.logged import FILE, schema
from lang_envs.make import language_vec
from lang_envs.markup import markup_of
from lang_envs.rewards.regression import SequenceRegression
from lang_envs.rewards.reply_rewards import reply_reward
from lang_envs.rewards.text_classifier import load_classifier
from lang_envs.tasks.logs import Logs
from lang_envs.tokenizers import decode, text_tokenizer

TOKENIZER = text_tokenizer()
ROWS = [{"prompt": f"question {i // 2}, ok?", "response": f"a 👍 {i}", "score": i / 4} for i in range(40)]


def call(capsys, *arguments):
    """Exit code, standard output and standard error of one command."""
    code = cli.main([str(a) for a in arguments])
    seen = capsys.readouterr()
    return code, seen.out, seen.err


def lines(path, rows=ROWS):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def texts(path):
    return [markup_of(TOKENIZER).read(episode.tokens) for episode in EpisodeDataset.load(path)]


# Files

LINES = "".join(json.dumps(row) + "\n" for row in ROWS).encode()


def table(path, delimiter=",", **how):
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ROWS[0], delimiter=delimiter, **how)
        writer.writeheader()
        writer.writerows(ROWS)


def arrow(path, make):
    found = pa.Table.from_pylist(ROWS)
    with make(str(path), found.schema) as sink:
        sink.write_table(found, max_chunksize=7)


def zipped(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.jsonl", LINES)


FILES = {
    "a.jsonl": lambda path: path.write_bytes(LINES),
    "bom.jsonl": lambda path: path.write_bytes(b"\xef\xbb\xbf" + LINES),
    "crlf.jsonl": lambda path: path.write_bytes(LINES.replace(b"\n", b"\r\n")),
    "blank.jsonl": lambda path: path.write_bytes(b"\n" + LINES),
    "lines.json": lambda path: path.write_bytes(LINES),
    "array.json": lambda path: path.write_text(json.dumps(ROWS, indent=1)),
    "a.csv": table,
    "lf.csv": lambda path: table(path, lineterminator="\n"),
    "a.tsv": lambda path: table(path, "\t"),
    "a.parquet": lambda path: pq.write_table(pa.Table.from_pylist(ROWS), path),
    "stream.arrow": lambda path: arrow(path, pa.ipc.new_stream),
    "file.arrow": lambda path: arrow(path, pa.ipc.new_file),
    "saved": lambda path: datasets.Dataset.from_list(ROWS).save_to_disk(path),
    "a.jsonl.gz": lambda path: path.write_bytes(gzip.compress(LINES)),
    "A.JSONL.GZ": lambda path: path.write_bytes(gzip.compress(LINES)),
    "a.jsonl.bz2": lambda path: path.write_bytes(bz2.compress(LINES)),
    "a.jsonl.xz": lambda path: path.write_bytes(lzma.compress(LINES)),
    "a.jsonl.zst": lambda path: path.write_bytes(zstandard.compress(LINES)),
    "a.jsonl.zip": zipped,
}


@pytest.mark.parametrize("name", FILES)
def test_files_of_every_kind_hold_the_same_rows(tmp_path, name):
    FILES[name](tmp_path / name)
    found = [{**row, "score": float(row["score"])} for _, row in rows_of(tmp_path / name)]
    assert found == ROWS
    first = next(iter(rows_of(tmp_path / name)))[0]
    assert first == (2 if name == "blank.jsonl" else 1)


def test_lines_that_are_no_rows_are_left_out_and_counted(tmp_path, capsys):
    whole = [json.dumps({"prompt": f"{i}?", "response": "yes", "score": i}) for i in range(12)]
    file = tmp_path / "a.jsonl"
    file.write_text("\n".join([whole[0], "[1]", *whole[1:6], '{"prompt": "cut', *whole[6:], "7"]))
    code, printed, _ = call(capsys, "import", file, "--out", tmp_path / "d", "--held-out", 0)
    assert code == 0 and len(EpisodeDataset.load(tmp_path / "d")) == 12
    assert "left out: 2 for no object (the first:" in printed and "row 2: no object" in printed.replace("\n", " ")
    assert "left out: 1 for a line that is no JSON" in printed and "line 8: expected JSON" in printed.replace("\n", " ")
    code, _, told = call(capsys, "import", file, "--out", tmp_path / "e", "--strict")
    assert code == 2 and "row 2: no object: expected an object, got list" in told
    file.write_bytes(b"[1\n{2\n")
    code, _, told = call(capsys, "import", file, "--out", tmp_path / "e")
    assert code == 2 and not (tmp_path / "e").exists()
    (tmp_path / "b.jsonl").write_text("{1\n{2\n")
    code, _, told = call(capsys, "import", tmp_path / "b.jsonl", "--out", tmp_path / "e")
    assert code == 2 and "none of the first 2 rows can be read; the first is" in told


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("a.doc", b"hello", "expected a file of one of the kinds"),
        ("a.csv", b"a,a\n1,2\n", "columns of different names, got 'a' twice"),
        ("a.csv", b"a,b\n\xff,2\n", "expected UTF-8"),
        ("a.parquet", b"PAR1", "expected a whole Parquet file"),
        ("a.arrow", b"ARROW1xx", "expected an Arrow stream"),
        ("a.jsonl.gz", b"nothing", "cannot be decompressed"),
    ],
)
def test_a_damaged_file_is_refused_by_name(tmp_path, name, content, why):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CorpusError, match=why) as error:
        list(rows_of(tmp_path / name))
    assert str(tmp_path / name) in str(error.value)


def test_a_field_that_is_far_too_long_is_one_row_that_is_left_out(tmp_path):
    rows = [dict(row) for row in ROWS]
    rows[7]["response"] = "x" * 10_000_000
    with (tmp_path / "a.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    lines(tmp_path / "a.jsonl", rows)
    (tmp_path / "a.json").write_text(json.dumps(rows))
    for name in ("a.csv", "a.parquet", "a.jsonl", "a.json"):
        found = EpisodeDataset.from_rows(tmp_path / name, options=Options()).provenance["import"]
        [(kind, told)] = found["skipped"].items()
        assert found["conversations"] == 39 and kind == "a text of more than 262,144 characters"
        assert told["count"] == 1 and ", row 8: " in told["first"]


# What is written


def test_an_import_is_a_data_set_with_its_conversations(tmp_path, capsys):
    out = tmp_path / "d"
    code, printed, _ = call(capsys, "import", lines(tmp_path / "a.jsonl"), "--out", out, "--held-out", 0.3)
    assert code == 0
    for words in ("layout", "answers", "column 'score'", "conversations", "40", "returns", "question"):
        assert words in printed
    assert f"\nNext:\n  lang-envs train bc --data {out} --out runs/d-bc\n" in printed
    with pa.memory_map(str(out / FILE)) as source:
        found = pa.ipc.open_file(source).read_all()
    assert found.schema == schema()
    rows = found.to_pylist()
    assert [row["row"] for row in rows] == [*range(1, 41)] and [row["id"] for row in rows] == list(
        map(str, range(1, 41))
    )
    assert rows[3]["messages"] == [
        {"role": "user", "content": "question 1, ok?"}, {"role": "assistant", "content": "a 👍 3"}
    ]  # fmt: skip
    assert [row["rewards"] for row in rows] == [[row["score"]] for row in ROWS]
    held = [row["held_out"] for row in rows]
    assert 0 < sum(held) < 40 and held[::2] == held[1::2]  # of one prompt all are on one side
    for folder, side in ((out, False), (out / HELD_OUT, True)):
        own = [row for row in rows if row["held_out"] is side]
        assert [[m._asdict() for m in messages] for messages in texts(folder)] == [row["messages"] for row in own]
    provenance = EpisodeDataset.load(out).provenance
    assert provenance["env"] == {
        "id": "Logs-v0", "kwargs": {"max_context_tokens": 768, "max_response_tokens": 256}
    }  # fmt: skip
    assert provenance["import"]["held out"] == sum(held) and provenance["max_utterance_tokens"] == 256
    card = (out / "README.md").read_text()
    assert "layout: answers" in card and "license" not in card
    assert call(capsys, "import", tmp_path / "a.jsonl", "--out", out)[0] == 2  # never overwritten
    content = bytearray((out / FILE).read_bytes())
    content[len(content) // 2] ^= 1
    (out / FILE).write_bytes(content)
    with pytest.raises(DatasetError, match=rf"{FILE} is not what was written"):
        EpisodeDataset.load(out)


def test_an_import_that_was_killed_begins_anew(tmp_path, monkeypatch):
    path, out = lines(tmp_path / "a.jsonl"), tmp_path / "d"
    monkeypatch.setattr("datasets_builders.logs.writing._BLOCK", 4)
    (tmp_path / "d.copying" / "held-out.copying").mkdir(parents=True)
    (tmp_path / "d.copying" / "provenance.json").write_text("{}")
    (tmp_path / "d.copying" / "conversations.arrow").write_text("half")
    report = import_logs([path, path], out, TOKENIZER, Options(), held_out=0)
    assert (report.rows, report.kept, report.held_out) == (80, 80, 0)
    assert [episode.ret for episode in EpisodeDataset.load(out)] == [row["score"] for row in ROWS] * 2
    assert not (out / HELD_OUT).exists() and not (tmp_path / "d.copying").exists()


def test_nothing_is_left_where_nothing_can_be_imported(tmp_path):
    path = lines(tmp_path / "a.jsonl", [{"prompt": "a", "response": "b", "score": "bad"}] * 3)
    with pytest.raises(DatasetError, match=r"a\.jsonl: none of 3 rows .*3 for 'a rating that is no number'"):
        import_logs([path], tmp_path / "d", TOKENIZER, Options())
    with pytest.raises(DatasetError, match="--held-out 0"):
        import_logs([lines(tmp_path / "b.jsonl", ROWS[:2])], tmp_path / "d", TOKENIZER, Options(), held_out=0.999999)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl", "b.jsonl"]


# Replies in a row


def in_a_row(**more):
    said = [("user", "a?"), ("assistant", "one"), ("assistant", "two"), ("user", "b?"), ("assistant", "three")]
    return {"messages": [{"role": role, "content": text} for role, text in said], **more}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_reply_follows_a_reply_where_the_chat_template_allows_it(tmp_path, family):
    """What the environment asks after is what the episode has before each of its utterances."""
    tokenizer = adopt(chat_tokenizer(*FAMILIES[family]))
    path = lines(tmp_path / "a.jsonl", [in_a_row(rating=[1, 2, 4])] * 2)
    import_logs([path], tmp_path / "d", tokenizer, Options(), held_out=0)
    [episode, _] = EpisodeDataset.load(tmp_path / "d")
    spans = episode.utterances(int(tokenizer.eos_token_id))
    together = family == "Mistral"
    assert [float(episode.rewards[span].sum()) for span in spans] == ([3, 4] if together else [1, 2, 4])
    task = Logs(tmp_path / "d")
    assert [task.logged_replies(i)[0] for i in range(task.num_contexts)] == (
        ["one\n\ntwo", "three"] if together else ["one", "two", "three"]
    )
    env = language_vec("Logs-v0", 1, data=str(tmp_path / "d"))
    for i, span in enumerate(spans):
        env.begin([0], [0], [i])
        assert env.history(0).tolist() == episode.tokens[: span.start].tolist()


def test_a_prompt_that_ends_with_a_reply_is_left_out_where_no_reply_may_follow():
    row = {"prompt": in_a_row()["messages"], "response": "four", "score": 1}
    assert len(EpisodeDataset.from_rows([row])) == 1
    alternating = adopt(chat_tokenizer(*FAMILIES["Mistral"]))
    with pytest.raises(DatasetError, match="a reply directly after a reply of the prompt"):
        EpisodeDataset.from_rows([row], alternating, Options(strict=True))
    ids = {"prompt_ids": [40, 41], "completion_ids": [50, int(alternating.eos_token_id)], "reward": 2}
    assert EpisodeDataset.from_rows([ids], alternating).returns.tolist() == [2]  # they stay as they are


# Limits


def talk(*turns, **more):
    roles = ("user", "assistant")
    return {"messages": [{"role": roles[i % 2], "content": text} for i, text in enumerate(turns)], **more}


def test_a_longer_reply_is_left_out_or_cut():
    rows = [talk("a?", "word " * 40, rating=2), talk("a?", "short", rating=1)]
    options = Options(limits=Limits(100, 20))
    found = EpisodeDataset.from_rows(rows, TOKENIZER, options)
    assert found.returns.tolist() == [1]
    assert found.provenance["import"]["skipped"]["a reply of more than 20 tokens"]["count"] == 1
    cut = EpisodeDataset.from_rows(rows, TOKENIZER, Options(limits=Limits(100, 20, "cut")))
    assert cut.returns.tolist() == [2, 1] and cut[0].num_actions == 20 and cut[0].rewards[-1] == 2
    assert TOKENIZER.eos_token_id not in cut[0].tokens and cut.provenance["import"]["cut replies"] == 1


def test_of_a_long_conversation_the_oldest_turns_are_left_out():
    turns = [f"{'question' if i % 2 == 0 else 'reply'} number {i} of many" for i in range(20)]
    options = Options(limits=Limits(64, 20))
    found = EpisodeDataset.from_rows([talk(*turns, rating=1)], TOKENIZER, options)
    [episode] = found
    assert len(episode) <= 64 and episode.ret == 1 and found.provenance["import"]["shortened contexts"] == 1
    messages = markup_of(TOKENIZER).read(episode.tokens)
    assert [m.content for m in messages] == turns[-len(messages) :]
    rated = talk(*turns, rating=[1] * 10)
    with pytest.raises(DatasetError, match="more than 64 tokens"):
        EpisodeDataset.from_rows([rated], TOKENIZER, options)


def test_the_model_s_own_limit_holds(tmp_path, capsys):
    folder = tmp_path / "model"
    chat_tokenizer(CHATML).save_pretrained(str(folder))
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", "max_position_embeddings": 300}))
    path = lines(tmp_path / "a.jsonl")
    how = ("import", path, "--tokenizer", folder, "--out", tmp_path / "d")
    code, _, told = call(capsys, *how, "--max-tokens", 400)
    assert code == 2 and "the model reads 300 at most" in told
    assert call(capsys, *how, "--max-utterance-tokens", 100)[0] == 0
    dataset = EpisodeDataset.load(tmp_path / "d")
    assert dataset.provenance["env"]["kwargs"] == {"max_context_tokens": 200, "max_response_tokens": 100}
    assert decode(dataset.tokenizer(), [dataset[0].tokens])[0].startswith("<|im_start|>user\nquestion")
    with pytest.raises(ValueError, match=r"has \d+ tokens, and the model reads 8"):
        check_lengths(Logged(dataset), 8)


def test_a_prompt_that_is_a_text_is_a_message_unless_plain():
    row = {"prompt": "hi<|agent|>", "response": "yo", "reward": 1}
    for plain, spelled in ((False, "<|user|>hi<|agent|><|agent|>yo<|end|>"), (True, "hi<|agent|>yo<|end|>")):
        [episode] = EpisodeDataset.from_rows([row], TOKENIZER, Options(plain=plain))
        assert decode(TOKENIZER, [episode.tokens]) == [spelled]
    markers = [TOKENIZER.convert_tokens_to_ids(name) for name in ("<|agent|>",)]
    counts = [
        sum(token in markers for token in EpisodeDataset.from_rows([row], TOKENIZER, Options(plain=plain))[0].tokens)
        for plain in (False, True)
    ]
    assert counts == [1, 1]  # the name in the text of a message is no control token


# Rewards


def by_length(prompts, replies):
    assert all(prompt[-1]["role"] == "user" for prompt in prompts)
    return [len(reply) for reply in replies]


def test_replies_without_a_rating_are_scored_by_a_function():
    rows = [talk("a?", "abc", "b?", "de"), talk("c?", "f", rating=-1)]
    found = EpisodeDataset.from_rows(rows, TOKENIZER, Options(reward=by_length))
    assert [e.rewards[e.rewards != 0].tolist() for e in found] == [[3, 2], [-1]]
    assert reply_reward("math:sqrt") is not None
    for wrong, why in (("math:nothing", "has no function 'nothing'"), ("no_such_module:f", "cannot be imported")):
        with pytest.raises(ValueError, match=why):
            reply_reward(wrong)
    with pytest.raises(ValueError, match="one finite number for each of 2 replies"):
        EpisodeDataset.from_rows(rows[:1], TOKENIZER, Options(reward=lambda prompts, replies: [1.0]))


def test_replies_without_a_rating_are_scored_by_a_model(tmp_path, capsys):
    bare = lines(tmp_path / "a.jsonl", [talk("how are you?", f"fine {i}") for i in range(6)])
    save_text_model(tmp_path / "pairs", "bert", num_labels=1)
    save_text_model(tmp_path / "two", "bert", num_labels=2)
    replies = [f"fine {i}" for i in range(6)]
    wanted = {
        str(tmp_path / "pairs"): SequenceRegression(tmp_path / "pairs")(replies, ["how are you?"] * 6),
        str(tmp_path / "two"): load_classifier(str(tmp_path / "two"))(replies),
        "toxicity": load_classifier("toxicity")(replies),
    }
    for i, (named, rewards) in enumerate(wanted.items()):
        how = ("--out", tmp_path / f"{i}", "--reward", named, "--held-out", 0)
        code, _, told = call(capsys, "import", bare, *how)
        assert code == 0, told
        found = EpisodeDataset.load(tmp_path / f"{i}")
        assert found.provenance["rewards"] == named and found.returns == pytest.approx(rewards, rel=1e-4)
    code, _, told = call(capsys, "import", bare, "--out", tmp_path / "x", "--reward", tmp_path / "nowhere")
    assert code == 2 and "nowhere" in told and not (tmp_path / "x").exists()


def test_a_log_without_rewards_is_imported_where_that_is_said_and_trains_imitation_alone(tmp_path, capsys):
    bare = lines(tmp_path / "a.jsonl", [{"prompt": f"{i}?", "response": "yes"} for i in range(12)])
    code, _, told = call(capsys, "import", bare, "--out", tmp_path / "d")
    assert code == 2 and "--no-reward" in told and "'prompt', 'response'" in told
    code, printed, _ = call(capsys, "import", bare, "--out", tmp_path / "d", "--no-reward", "--held-out", 0)
    assert code == 0 and "agents that imitate" in printed
    assert "not known: nothing was rewarded" in printed and "mean return" not in printed
    assert "Returns:" not in (tmp_path / "d" / "README.md").read_text()
    assert EpisodeDataset.load(tmp_path / "d").provenance["rewards"] == "none"
    equal = lines(tmp_path / "b.jsonl", [{"prompt": f"{i}?", "response": "yes", "score": 2} for i in range(12)])
    code, printed, _ = call(capsys, "import", equal, "--out", tmp_path / "e", "--held-out", 0)
    assert code == 0 and "All returns are 2" in printed
    small = ("--env", "Dialogue-BLEU-v0", "--lm", "d64-l2", "--steps", 1, "--decoding-episodes", 0)
    for data, why in (("d", "was imported without rewards"), ("e", "have the return 2")):
        for agent in (("refit",), ("ilql",), ("bc", "--keep-top", 0.5)):
            asked = (*agent, "--data", tmp_path / data, "--out", tmp_path / f"{data}-{agent[0]}", *small)
            code, _, told = call(capsys, "train", *asked)
            assert code == 2 and why in told
    code, _, told = call(capsys, "train", "bc", "--data", tmp_path / "d", "--out", tmp_path / "imitation", *small)
    assert code == 0, told


def test_ratings_are_left_out_where_that_is_asked_for():
    rows = [talk("a?", "b", rating=1), talk("a?", "c", rating=None)]
    found = EpisodeDataset.from_rows(rows, TOKENIZER, Options(named=Named(unrated=True)))
    assert len(found) == 2 and found.returns.tolist() == [0, 0] and found.provenance["rewards"] == "none"


def test_token_ids_are_not_scored():
    rows = [
        {"prompt_ids": [40, 41], "completion_ids": [50, 1]},
        {"prompt_ids": [40], "completion_ids": [1], "reward": 1},
    ]
    found = EpisodeDataset.from_rows(rows, TOKENIZER, Options(reward=by_length))
    assert found.returns.tolist() == [1] and found.provenance["import"]["skipped"]["no rating"]["count"] == 1
    with pytest.raises(DatasetError, match="give one of them"):
        EpisodeDataset.from_rows(rows, TOKENIZER, Options(reward=by_length, named=Named(unrated=True)))


def test_weights_of_several_rewards_are_typed(tmp_path, capsys):
    path = lines(tmp_path / "a.jsonl", [{"prompt": "a", "response": "b", "helpful": 2, "right": 4}] * 4)
    how = ("import", path, "--out", tmp_path / "d", "--held-out", 0, "--reward-column")
    assert call(capsys, *how, "helpful=0.5", "right=x")[0] == 2
    code, printed, _ = call(capsys, *how, "helpful=0.5", "right=0.25")
    assert code == 0 and "0.5 x helpful + 0.25 x right" in printed
    assert EpisodeDataset.load(tmp_path / "d").returns.tolist() == [2] * 4


@pytest.mark.parametrize("name", FILES)
def test_how_much_of_a_file_was_read_is_known(name, tmp_path):
    FILES[name](path := tmp_path / name)
    size = sum(
        file.stat().st_size for file in ([path] if path.is_file() else path.iterdir()) if "info" not in file.name
    )
    with watched() as watch:
        rows = of_sources([path])
        assert watch.bytes_read() == 0
        next(rows)
        assert 0 < watch.bytes_read() <= size
        assert sum(1 for _ in rows) == len(ROWS) - 1
        assert watch.bytes_read() == size


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("a.csv", r"importing d, bytes: \d+,\d+ of 13,202 \(\d\d %\), 0:00, about 0:00 left, 256 rows"),
        ("hub:me/log", r"importing d, rows: 256, 0:00"),
    ],
)
def test_an_import_says_how_far_it_is(source, told, tmp_path, monkeypatch, capsys):
    (tmp_path / "a.csv").write_text("x\n" + "1234567890\n" * 1200)
    monkeypatch.setattr(rows, "_hub", lambda name, split: enumerate([{}] * 1200, 1))
    monkeypatch.setattr(progress, "EVERY", 0.02)
    monkeypatch.chdir(tmp_path)
    said = ""
    with reading_progress.told("importing d", of_sources([source]), [source]) as found:
        for number, _ in enumerate(found):
            while number == 300 and said.count("\n") < 2:
                said += capsys.readouterr().err
    assert re.fullmatch(told, said.splitlines()[1])
