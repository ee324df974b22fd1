"""``lang-envs record samples`` and ``lang-envs export``, from their command lines."""

import json

import pytest

from agents import cli
from datasets_builders import EpisodeDataset


def call(capsys, *arguments):
    """Exit code, standard output and standard error of one command."""
    code = cli.main([str(a) for a in arguments])
    seen = capsys.readouterr()
    return code, seen.out, seen.err


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    out = tmp_path_factory.mktemp("data") / "reviews"
    assert cli.main(["record", "movie-review", "--episodes", "60", "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "bc"
    arguments = ("train", "bc", "--data", data, "--out", out, "--steps", 3, "--batch-size", 8, "--decoding-episodes", 0)
    assert cli.main([str(a) for a in arguments]) == 0
    return out


@pytest.fixture(scope="module")
def sampled(run, tmp_path_factory):
    out = tmp_path_factory.mktemp("samples") / "d"
    asked = ("--policy", run, "--per-context", 19, "--temperatures", 0, 0.7, "--beams", 2, "--episodes", 40)
    assert cli.main([str(a) for a in ("record", "samples", *asked, "--out", out)]) == 0
    return out


def test_samples_of_a_run_are_recorded(sampled, run):
    dataset = EpisodeDataset.load(sampled)
    kinds = [(info["policy"], info["sample"], info["temperature"]) for info in (e.info for e in dataset)]
    greedy, drawn = [("bc-0", i, 0.0) for i in range(19)], [("bc-0.7", i, 0.7) for i in range(19)]
    assert kinds == [*greedy, *drawn, ("beams", 0, None), ("beams", 1, None)]
    assert len({episode.tokens.tobytes() for episode in dataset.select(range(3))}) == 1
    found = dataset.provenance
    assert found["source"] == {"run": str(run)} and found["env"]["id"] == "MovieReview-v0"
    assert found["search"] == {"name": "beams", "config": {"beams": 2, "length_penalty": 1.0}}


def test_every_format_can_be_written(sampled, data, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    whole = EpisodeDataset.load(sampled)
    for kind in ("jsonl", "parquet"):
        code, out, _ = call(capsys, "export", sampled, "--to", kind, "--out", tmp_path / kind)
        assert code == 0 and "40 episodes" in out
        found = getattr(EpisodeDataset, f"from_{kind}")(tmp_path / kind)
        assert all(a.same_as(b) for a, b in zip(found, whole, strict=True))
    for kind, count in (("sft", 60), ("preference", 1)):  # all reviews open alike: they have one context
        code, out, _ = call(capsys, "export", data, "--to", f"trl-{kind}", "--out", tmp_path / kind)
        rows = [json.loads(line) for line in (tmp_path / kind).read_text().splitlines()]
        assert code == 0 and f"{count} lines" in out and len(rows) == count
    minari = pytest.importorskip("minari")
    assert call(capsys, "export", data, "--to", "minari", "--out", "reviews-v0")[0] == 0
    assert minari.load_dataset("reviews-v0").total_episodes == 60


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["record", "samples", "--out", "x"], "Who answers?"),
        (["record", "samples", "--server", "http://x", "--out", "x"], "Who answers?"),
        (["record", "samples", "--server", "http://x", "--model", "m", "--out", "x"], "pass --env ID"),
        (["record", "--out", "x", "samples"], "comes first: lang-envs record samples"),
        (["record", "sample", "--out", "x"], "did you mean 'samples'?"),
        (["export", "DATA", "--to", "trl-sft", "--out", "x", "--chat"], "export plain text"),
        (["export", "DATA", "--to", "jsonl", "--out", "x", "--chat"], "--chat is for the trl formats"),
        (["export", "DATA", "--to", "minari", "--out", "x"], "is called NAME-v0"),
        (["export", "nowhere", "--to", "jsonl", "--out", "x"], "there is no data set at nowhere"),
    ],
)
def test_what_cannot_be_done_is_said(arguments, message, data, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    code, _, err = call(capsys, *(str(data) if a == "DATA" else a for a in arguments))
    assert code == 2 and message in err


def test_another_tokenizer_than_the_agents_is_refused(run, capsys, tmp_path):
    code, _, err = call(capsys, "record", "samples", "--policy", run, "--env", "Wordle-v0", "--out", tmp_path / "d")
    assert code == 2 and "another tokenizer" in err
