"""The next commands that every command prints: the command line's parser accepts each of them."""

import io
import json
import shlex
from pathlib import Path

import pytest

from agents import cli
from agents.cli import arguments
from lang_envs import plugins

ROOT = Path(__file__).parents[1]
FEW = ("--steps", 1, "--batch-size", 2, "--decoding-episodes", 0, "--no-progress")
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


def write_log(file, rows):
    """Prompts with replies and their scores, where there are any."""
    names = ("prompt", "response", "score")
    file.write_text("".join(json.dumps(dict(zip(names, row, strict=False))) + "\n" for row in rows))
    return file


class Typed(io.StringIO):
    """Lines of somebody at a terminal."""

    def isatty(self):
        return True


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with the data set ``d``, the run ``r`` on it, and the run ``c`` on the log ``l`` of conversations."""
    folder = tmp_path_factory.mktemp("made")
    log = write_log(folder / "chats.jsonl", [(f"is it {i}?", "yes", i) for i in range(6)])
    for words in (
        ("record", "movie-review", "--episodes", 60, "--out", folder / "d"),
        ("train", "ilql", "--data", folder / "d", "--out", folder / "r", *FEW),
        ("import", log, "--held-out", 0, "--out", folder / "l"),
        ("train", "bc", "--data", folder / "l", "--out", folder / "c", *FEW),
    ):
        assert cli.main([str(word) for word in words]) == 0
    return folder


def benched(suite, out, *how, **more):
    """What a benchmark leaves behind, at once."""
    out.mkdir()
    for name in ("table.md", "report.html"):
        (out / name).write_text("a page")
    return out / "report.html"


def served(*what):
    """A server that says that it is ready, and is interrupted at once."""
    what[-1]("http://127.0.0.1:8000")


EVERY = {
    "list": ["list"],
    "show": ["show {made}/d", "show {made}/r", "show {made}/l", "show wordle-trap", "show Dialogue-BLEU-v0"],
    "play": ["play --agent {made}/r"],
    "check": ["check MovieReview-v0"],
    "record": ["record movie-review --episodes 40 --out o", "record samples --policy {made}/c --per-context 1 --out s"],
    "import": ["import {made}/chats.jsonl --out o"],
    "export": ["export {made}/d --to jsonl --out o.jsonl", "export {made}/d --to parquet --out o.parquet"],
    "train": ["train bc --data {made}/d --out o --steps 1 --decoding-episodes 0 --no-progress"],
    "eval": ["eval {made}/r --episodes 2", "eval {made}/c --episodes 2 --env-options reward=likeness"],
    "ope": ["ope {made}/r --data {made}/d --fitted-steps 0 --set greedy=false"],
    "explain": ["explain {made}/r --text 'the movie was good'", "explain {made}/r --data {made}/d --html o.html"],
    "bench": ["bench quick --out o", "bench quick --smoke --only smollm2 --out o", "bench trap --out 'o o'"],
    "leaderboard": ["leaderboard {results}", "leaderboard {results} --against ilql --out o.md"],
    "chat": ["chat {made}/c"],
    "serve": ["serve {made}/r --set greedy=true"],
    "distil": ["distil {made}/r --out o --steps 1 --batch-size 4 --episodes 2 --no-progress"],
    "merge": ["merge {made}/r --out o", "merge {made}/c --out o", "merge {made}/r --out o --plain"],
    "push": ["push {made}/r me/x", "push {made}/r me/x --dry-run", "push {made}/d me/x", "push {results} me/x"],
    "init": ["init task haggle", "init suite haggling"],
    "serve-env": ["serve-env Wordle-v0 --web"],
    "export-env": ["export-env Wordle-v0 --out o"],
}
"""command -> ways to run it; one that is new belongs here"""


@pytest.mark.parametrize("command", cli.ORDER)
def test_every_command_leads_to_commands_that_can_be_typed(command, steps, made, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.stdin", Typed("\n"))
    monkeypatch.setattr("agents.benchmark.run", benched)
    monkeypatch.setattr("agents.serving.run.run_server", served)
    monkeypatch.setattr("lang_envs.openenv.server.serve", served)
    monkeypatch.setattr("datasets_builders.hub.send", lambda files, name, *how: f"https://hub.example/{name}")
    monkeypatch.setattr("datasets_builders.hub._fetched", lambda name, kind: made / "d")
    for i, line in enumerate(EVERY[command]):
        (tmp_path / str(i)).mkdir()
        monkeypatch.chdir(tmp_path / str(i))
        steps(*shlex.split(line.format(made=made, results=ROOT / "docs/results/quick")))


def followed(line, *more):
    """Runs a command that was printed."""
    assert cli.main([*shlex.split(line)[1:], *map(str, more)]) == 0


@pytest.mark.parametrize(
    ("rows", "options", "agents"),
    [
        ([(f"is it {i}?", "yes", i) for i in range(6)], [], ["refit"]),
        ([(f"is it {i}?", "yes", i - 3) for i in range(6)], [], ["refit --shift-rewards"]),
        ([(f"is it {i}?", "yes", 1) for i in range(6)], [], ["bc"]),
        ([(f"is it {i}?", "yes") for i in range(6)], ["--no-reward"], ["bc"]),
        ([(f"is it {i % 3}?", f"yes {i}", i % 2) for i in range(6)], [], ["bc", "dpo"]),  # replies that differ in worth
        ([(f"is it {i % 3}?", f"yes {i}", i % 3) for i in range(6)], [], ["refit"]),  # and that do not
    ],
)
def test_the_agent_after_an_import_fits_the_log(rows, options, agents, steps, tmp_path):
    log = write_log(tmp_path / "log.jsonl", rows)
    lines = steps("import", log, "--out", "l", "--held-out", 0, *options)
    assert [line.partition(" --data l")[0] for line in lines] == [f"lang-envs train {agent}" for agent in agents]
    assert lines == steps("show", "l")
    for line in lines:
        followed(line, *FEW)
    assert lines[-1].endswith(" --lm runs/l-bc/agent --out runs/l") == ("dpo" in agents)


@pytest.mark.parametrize("options", [["words=english-30"], ['words=["slate", "crane"]', "max_tokens=200"]])
def test_a_merged_agent_is_measured_in_the_environment_of_its_run(options, steps):
    steps("record", "wordle-mixed", "--episodes", 8, "--out", "w", "--set", *options)
    steps("train", "bc", "--data", "w", "--out", "r", *FEW)
    line, serve = steps("merge", "r", "--out", "m")
    assert shlex.split(line) == ["lang-envs", "eval", "m", "--env", "Wordle-Paper-v0", "--env-options", *options]
    assert serve == "lang-envs serve m"
    followed(line, "--episodes", 2)


def test_a_merged_agent_of_a_log_is_measured_in_its_conversations(steps, made):
    line, _ = steps("merge", made / "c", "--out", "m")
    assert f"--env Logs-v0 --env-options data={made / 'l'}" in line
    followed(line, "--episodes", 2)
