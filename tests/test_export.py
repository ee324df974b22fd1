"""JSON lines and Parquet: exact both ways, and refused in words where they are damaged."""

import json
import math
import os

import numpy as np
import pyarrow.parquet as pq
import pytest
from test_dataset import assert_same, make_episodes, make_tokenizer

from datasets_builders import DatasetError, EpisodeDataset, trl
from lang_envs.episode import Episodes


@pytest.fixture
def dataset():
    return EpisodeDataset.from_episodes(make_episodes(), {"env": {"id": "Test-v0"}}, make_tokenizer())


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_round_trip_is_exact(dataset, kind, tmp_path, monkeypatch):
    monkeypatch.setattr("datasets_builders.imports._ROWS", 16)
    monkeypatch.setattr("datasets_builders.dataset._AT_ONCE", 7)
    write, read = getattr(EpisodeDataset, f"to_{kind}"), getattr(EpisodeDataset, f"from_{kind}")
    part = dataset.select([3, 1, 2, *range(10, 40)])
    write(part, tmp_path / "a")
    found = read(tmp_path / "a", make_tokenizer())
    assert_same(found, list(part))
    assert found.provenance == {**dataset.provenance, "episodes": 33, "mean_return": float(part.returns.mean())}
    write(found, tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    found.save(tmp_path / "d")
    assert_same(EpisodeDataset.load(tmp_path / "d"), list(part))


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_another_tokenizer_is_refused(dataset, kind, tmp_path):
    getattr(dataset, f"to_{kind}")(tmp_path / "a")
    with pytest.raises(DatasetError, match="recorded with the tokenizer"):
        getattr(EpisodeDataset, f"from_{kind}")(tmp_path / "a", make_tokenizer("<stop>"))


def test_a_line_that_is_cut_short_is_named(dataset, tmp_path):
    path = tmp_path / "a.jsonl"
    dataset.to_jsonl(path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DatasetError, match="line 41: expected JSON"):
        EpisodeDataset.from_jsonl(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda row: row.update(tokens=[1, "x"]), "line 3, field 'tokens'"),
        (lambda row: row.update(rewards=row["rewards"][1:]), "episode 1, field 'rewards'"),
        (lambda row: row.update(tokens=[99_999 for _ in row["tokens"]]), "line 3, field 'tokens'|uint8"),
        (lambda row: row.pop("seed"), "line 3: expected the fields"),
        (lambda row: row.update(terminated="yes"), "line 3, field 'terminated'"),
        (lambda row: row.update(is_action=None), "line 3, field 'is_action'"),
        (
            lambda row: row.update(tokens=[10 for _ in row["tokens"]]),
            "episode 1, field 'tokens': expected ids below 10",
        ),
        (lambda row: row["rewards"].__setitem__(0, math.nan), "episode 1, field 'rewards': expected finite"),
        (lambda row: row.update(logprobs=[math.inf for _ in row["rewards"]]), "episode 1, field 'logprobs'"),
        (lambda row: row.update(terminated=True, truncated=True), "episode 1, field 'terminated'.*not both"),
        (
            lambda row: row.update(is_action=[1, *row["is_action"][1:]], rewards=[5.0, *row["rewards"]], logprobs=None),
            "episode 1, field 'is_action'",
        ),
        (lambda row: row.update(tokens="abc"), "line 3, field 'tokens': expected a list of ids, got str 'abc'"),
        (lambda row: row.update(tokens=[True for _ in row["tokens"]]), "line 3, field 'tokens': .*got bool True"),
        (lambda row: row.update(tokens=[1.0 for _ in row["tokens"]]), "line 3, field 'tokens': .*got float 1.0"),
        (lambda row: row.update(is_action=["x" for _ in row["tokens"]]), "line 3, field 'is_action'"),
        (lambda row: row.update(is_action=[2 for _ in row["tokens"]]), "line 3, field 'is_action': .* 0 and 1"),
        (lambda row: row["rewards"].__setitem__(0, "1"), "line 3, field 'rewards': .*numbers, got str '1'"),
        (lambda row: row["rewards"].__setitem__(0, 10**400), "line 3, field 'rewards': expected list"),
        (lambda row: row.update(logprobs=[{}]), "line 3, field 'logprobs'"),
        (lambda row: row.update(seed="1"), "line 3, field 'seed': expected int, got str '1'"),
        (lambda row: row.update(seed=2**70), "line 3, field 'seed': expected int64"),
        (lambda row: row.update(info={"a": math.nan}), "line 3, field 'info': expected finite numbers"),
        (lambda row: row.update(info={"a": "\ud800"}), "line 3, field 'info': a text holds half a character"),
        (lambda row: row.update(info=None), "line 3, field 'info': expected an object, got nothing"),
    ],
)
def test_a_wrong_line_is_named(dataset, tmp_path, change, message):
    path = tmp_path / "a.jsonl"
    dataset.to_jsonl(path)
    lines = path.read_text().splitlines()
    row = json.loads(lines[2])
    change(row)
    lines[2] = json.dumps(row)
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(DatasetError, match=message):
        EpisodeDataset.from_jsonl(path)


def test_other_files_are_refused(tmp_path, dataset):
    path = tmp_path / "a"
    for first in (
        '{"tokens": []}',
        '{"kind": "lang-envs episodes"}',
        '{"kind": "lang-envs episodes", "provenance": []}',
    ):
        path.write_text(first + "\n")
        with pytest.raises(DatasetError, match="line 1"):
            EpisodeDataset.from_jsonl(path)
    with pytest.raises(DatasetError, match="whole Parquet"):
        EpisodeDataset.from_parquet(path)
    dataset.to_hf().to_parquet(str(path))
    with pytest.raises(DatasetError, match="metadata"):
        EpisodeDataset.from_parquet(path)
    dataset.to_parquet(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DatasetError, match="whole Parquet"):
        EpisodeDataset.from_parquet(path)


def test_a_file_without_a_tokenizer_takes_the_one_given(tmp_path):
    episodes = make_episodes()
    EpisodeDataset.from_episodes(episodes).to_jsonl(tmp_path / "a")
    found = EpisodeDataset.from_jsonl(tmp_path / "a", make_tokenizer())
    assert_same(found, episodes)
    found.require(make_tokenizer())
    assert found.tokenizer().eos_token == "<end>"


def test_a_file_that_is_cut_between_lines_is_refused(dataset, tmp_path):
    path = tmp_path / "a.jsonl"
    dataset.to_jsonl(path)
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-2]))
    with pytest.raises(DatasetError, match="promises 40 episodes, it holds 38"):
        EpisodeDataset.from_jsonl(path)


def test_another_encoding_is_refused(dataset, tmp_path):
    path = tmp_path / "a.jsonl"
    dataset.to_jsonl(path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], lines[1].replace(b'"policy"', b'"polic\xe4"'), *lines[2:]]))
    with pytest.raises(DatasetError, match="line 2: expected UTF-8"):
        EpisodeDataset.from_jsonl(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tokens": 200}, "field 'tokens': expected ids below 10"),
        ({"rewards": np.nan}, "field 'rewards': expected finite"),
    ],
)
def test_episodes_are_checked_as_files_are(change, message):
    columns = Episodes.from_list(make_episodes())
    [(name, value)] = change.items()
    getattr(columns, name)[columns.offsets[7] + 1 :] = value
    columns.rewards[~columns.is_action] = 0
    with pytest.raises(DatasetError, match=f"episode 7, {message}"):
        EpisodeDataset.from_episodes(columns, tokenizer=make_tokenizer())


@pytest.mark.parametrize("write", [EpisodeDataset.to_jsonl, EpisodeDataset.to_parquet, trl.to_sft])
def test_an_export_that_was_killed_leaves_nothing_under_its_name(dataset, tmp_path, monkeypatch, write):
    monkeypatch.setattr("datasets_builders.dataset._FETCHED", 10)
    monkeypatch.setattr("datasets_builders.dataset._AT_ONCE", 10)
    child = os.fork()
    if child == 0:
        fetch, count = EpisodeDataset._resolve, 0

        def killed(self, indices):
            nonlocal count
            count += 1
            return fetch(self, indices) if count < 3 else os._exit(9)

        EpisodeDataset._resolve = killed
        write(dataset, tmp_path / "out")
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert not (tmp_path / "out").exists()
    write(dataset, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("[" * 100_000, "line 2: expected JSON nested at most 200 deep"),
        ('{"seed": ' + "9" * 5_000 + "}", "line 2: expected integers of at most"),
        ('{"a": ' * 201 + "1" + "}" * 201, "line 2: expected JSON nested at most 200 deep"),
    ],
)
def test_a_line_that_breaks_a_parser_is_named(dataset, tmp_path, line, message):
    path = tmp_path / "a.jsonl"
    dataset.to_jsonl(path)
    path.write_text("\n".join([path.read_text().splitlines()[0], line]) + "\n")
    with pytest.raises(DatasetError, match=rf"a\.jsonl, {message}"):
        EpisodeDataset.from_jsonl(path)


def test_a_byte_order_mark_is_passed_over(dataset, tmp_path):
    path = tmp_path / "a.jsonl"
    dataset.to_jsonl(path)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert_same(EpisodeDataset.from_jsonl(path), list(dataset))


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
@pytest.mark.parametrize(
    ("fact", "message"),
    [
        ({"tokenizer": "gpt2"}, "field 'tokenizer': expected dict, got str 'gpt2'"),
        ({"tokenizer": {"vocab_size": "10"}}, "field 'tokenizer', field 'vocab_size': expected int, got str '10'"),
        ({"tokenizer": {"vocab_size": 0}}, "field 'vocab_size': expected 1 to"),
        ({"tokenizer": {"vocab_size": None}}, "field 'vocab_size': expected 1 to .*got None"),
        ({"env": {"id": 3}}, "field 'env', field 'id': expected str, got int 3"),
        ({"episodes": "all"}, "field 'episodes': expected int, got str 'all'"),
        ({"max_utterance_tokens": [3]}, r"field 'max_utterance_tokens': expected int, got list \[3\]"),
        ({"name": "\ud800"}, "half a character"),
        ({"note": math.inf}, "expected finite numbers"),
    ],
)
def test_a_provenance_of_wrong_types_is_refused(dataset, tmp_path, kind, fact, message):
    path = tmp_path / f"a.{kind}"
    getattr(dataset, f"to_{kind}")(path)
    if kind == "jsonl":
        first, *rest = path.read_text().splitlines()
        header = json.loads(first)
        path.write_text("\n".join([json.dumps({**header, "provenance": header["provenance"] | fact}), *rest]) + "\n")
    else:
        table = pq.read_table(path)
        found = json.loads(table.schema.metadata[b"lang-envs episodes"]) | fact
        pq.write_table(table.replace_schema_metadata({"lang-envs episodes": json.dumps(found)}), path)
    with pytest.raises(DatasetError, match=rf"a\.{kind}, .*{message}"):
        getattr(EpisodeDataset, f"from_{kind}")(path)
