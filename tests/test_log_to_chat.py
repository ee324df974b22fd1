"""From a log of each layout to an agent that chats, in four commands."""

import csv
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from log_files import LOGS

from agents import cli
from datasets_builders import EpisodeDataset
from datasets_builders.logs.layouts import LAYOUTS

ROWS = 20


def lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def table(path, rows):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def columns(path, rows):
    pq.write_table(pa.Table.from_pylist(rows), path)


FILES = {name: (name, "log.jsonl", lines) for name in LOGS} | {
    "a CSV file": ("answers", "log.csv", table),
    "a Parquet file of pairs": ("preference", "log.parquet", columns),
}


def call(capsys, *arguments):
    """What a command prints.

    Raises:
        AssertionError: it ends with another status than 0.
    """
    code = cli.main([str(argument) for argument in arguments])
    seen = capsys.readouterr()
    assert code == 0, f"{arguments}: {seen.err}"
    return seen.out


@pytest.mark.filterwarnings("ignore:No decoding was chosen", "ignore:Values will hardly cross")
@pytest.mark.parametrize("name", FILES)
def test_four_commands_lead_from_a_file_to_a_conversation(name, tmp_path, capsys, monkeypatch):
    layout, file, write = FILES[name]
    log, data, run = tmp_path / file, tmp_path / "data", tmp_path / "run"
    write(log, [row for i in range(ROWS) for row in LOGS[layout](i)])
    assert layout in call(capsys, "import", log, "--out", data, "--held-out", 0.2)
    kept = EpisodeDataset.load(data)
    assert len(EpisodeDataset.load(data / "held-out")) > 0
    assert len(set(kept.returns.tolist())) > 1
    few = ("--steps", 1, "--batch-size", 4, "--decoding-episodes", 2, "--lm", "d64-l2")
    agent = {"messages": "ilql", "webgpt": "swift"}.get(name, "refit")
    call(capsys, "train", agent, "--data", data, "--out", run, *few)
    assert "not known: the log does not say" in call(capsys, "eval", run, "--episodes", 2)
    if agent == "ilql":  # whose values there is something to see of
        assert "until" in call(capsys, "explain", run)
    monkeypatch.setattr("sys.stdin", io.StringIO("is it open?\nand tomorrow?\n"))
    assert len(call(capsys, "chat", run, "--set", "max_new_tokens=4").splitlines()) >= 2


def test_every_layout_is_tried_here():
    assert set(LOGS) == {layout.name for layout in LAYOUTS}
