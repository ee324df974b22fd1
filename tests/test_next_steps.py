"""The next commands that every command prints: the command line's parser accepts each of them."""

import shlex
from pathlib import Path

import pytest

from agents import cli
from agents.cli import arguments
from lang_envs import plugins

OTHERS = {"python", "python3", "openenv", "transformers", "curl", "head", "minari", "pip", "pytest"}


@pytest.fixture
def steps(tmp_path, monkeypatch, capsys):
    """Runs a command, and gives the commands after "Next:" that belong to this package; all of them are parsed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(plugins, "_named", {})

    def run(*words, code=0):
        assert cli.main([str(word) for word in words]) == code
        seen = capsys.readouterr()
        printed = (seen.out + seen.err).partition("\nNext:\n")[2].splitlines()
        assert printed, f"nothing comes after {words}"
        ours = []
        for line in printed:
            program, *rest = shlex.split(line)
            if program == "lang-envs":
                cli._parse(rest[0], arguments.import_named(rest[1:]))  # exits where it cannot be read
                ours.append(line.strip())
            else:
                assert program.rstrip("0123456789.") in OTHERS, line
        return ours

    return run


def test_every_step_from_recording_to_serving_leads_on(steps):
    few = ("--steps", 2, "--decoding-episodes", 2, "--no-progress")
    data, run = Path("data/my reviews"), Path("runs/my reviews")
    assert steps("record", "movie-review", "--episodes", 60, "--out", data)[0] == (
        "lang-envs train ilql --tau 0.99 --data 'data/my reviews' --out 'runs/my reviews'"
    )
    assert steps("show", data) == steps("show", data, "--episodes", 0)
    after = steps("train", "ilql", "--tau", 0.99, "--data", data, "--out", run, *few)
    assert after[0].startswith("lang-envs eval 'runs/my reviews'") and after[-1].endswith("--agent 'runs/my reviews'")
    asked = ("--set", "greedy=true", "advantage_weight=4")
    found = steps("eval", run, "--episodes", 4, *asked)
    assert found[0] == "lang-envs explain 'runs/my reviews' --set greedy=true advantage_weight=4"
    assert steps("explain", run, *asked)[0].endswith("greedy=true advantage_weight=4 --html explained.html")
    assert steps("explain", run, "--html", "x.html") == []
    assert steps("ope", run, "--data", data, "--fitted-steps", 0) == ["lang-envs eval 'runs/my reviews'"]
    assert steps("show", run) == ["lang-envs eval 'runs/my reviews'"]
    assert steps("merge", run, "--out", "m")[0] == "lang-envs eval m --env MovieReview-v0"
    assert steps("merge", run, "--out", "plain", "--plain") == []
    assert steps("push", run, "me/x", "--private", "--dry-run") == ["lang-envs push 'runs/my reviews' me/x --private"]
    assert steps("export", data, "--to", "jsonl", "--out", "d.jsonl") == []


def test_where_no_decoding_was_chosen_values_count_in_the_next_command(steps):
    steps("record", "movie-review", "--episodes", 60, "--out", "d")
    few = ("--steps", 1, "--decoding-episodes", 0, "--no-progress")
    assert "--set greedy=true advantage_weight=" in steps("train", "ilql", "--data", "d", "--out", "r", *few)[0]
    assert steps("train", "bc", "--data", "d", "--out", "b", *few)[0] == "lang-envs eval b"
    assert steps("eval", "b", "--episodes", 2) == ["lang-envs play --agent b"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["list"], "lang-envs show Wordle-v0"),
        ([], "lang-envs list"),
        (["show", "MovieReview-v0"], "lang-envs record movie-review --episodes 2000 --out data/movie-review"),
        (["show", "Maze-PO-v0"], "lang-envs record maze --episodes 2000 --out data/maze --set env_id=Maze-PO-v0"),
        (["show", "Logs-v0"], "lang-envs list"),
        (["show", "dialogue-human"], "lang-envs record dialogue-human --out data/dialogue-human"),
        (["check", "MovieReview-v0"], "lang-envs record movie-review --episodes 2000 --out data/movie-review"),
        (["init", "task", "haggle_now"], "lang-envs check HaggleNow-v0"),
        (["init", "suite", "haggle_now"], "lang-envs bench haggle-now --smoke --out runs/try"),
    ],
)
def test_what_is_looked_at_leads_on(words, expected, steps):
    assert steps(*words)[0] == expected


def test_modules_that_were_imported_are_named_again(steps, tmp_path, monkeypatch):
    (tmp_path / "module_of_mine.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    assert steps("show", "movie-review", "--import", "module_of_mine")[0].endswith("--import module_of_mine")
