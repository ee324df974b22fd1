import dataclasses
import io
import json
import subprocess
import sys
from pathlib import Path

import gymnasium
import pytest

from agents import cli
from agents.algorithms import AGENTS
from agents.benchmark import SUITES
from agents.benchmark.smoke import shrunk
from agents.benchmark.suites import MINUTES


def call(capsys, *arguments):
    """Exit code, standard output and standard error of one command."""
    try:
        code = cli.main([str(a) for a in arguments])
    except SystemExit as exit:  # tyro's
        code = exit.code
    seen = capsys.readouterr()
    return code, seen.out, seen.err


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    out = tmp_path_factory.mktemp("data") / "reviews"
    assert cli.main(["record", "movie-review", "--episodes", "60", "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "ilql"
    arguments = [
        "train",
        "ilql",
        "--data",
        data,
        "--out",
        out,
        "--steps",
        3,
        "--tau",
        0.9,
        "--batch-size",
        8,
        "--seed",
        5,
        "--decoding-episodes",
        2,
    ]
    assert cli.main([str(a) for a in arguments]) == 0
    return out


def test_help_names_every_command(capsys):
    for arguments in ([], ["--help"]):
        code, out, _ = call(capsys, *arguments)
        assert code == 0
        assert all(name in out for name in (*cli.COMMANDS, "train"))


@pytest.mark.parametrize("name", [*cli.COMMANDS, "distil"])
def test_every_command_explains_itself(name, capsys):
    code, out, _ = call(capsys, name, "--help")
    assert code == 0
    assert f"lang-envs {name}" in out


def test_arguments_without_a_name_are_called_by_what_they_are(capsys):
    assert "lang-envs init [-h] {task,agent,suite} NAME" in call(capsys, "init", "--help")[1]
    assert "STR" not in call(capsys, "ope", "--help")[1].partition("options")[0]
    assert "A command comes first" in call(capsys, "--import", "json", "list")[2]


def test_examples_in_help_can_be_typed(capsys):
    assert r"printf 'hello\nis it open today?\n' | lang-envs chat runs/chats" in call(capsys, "chat", "--help")[1]
    shown = call(capsys, "record", "samples", "--help")[1]
    assert "http://b:8000/v1 \\\n" in shown and "--no-no-" not in call(capsys, "import", "--help")[1]


def test_the_options_of_an_agent_come_from_its_configuration(capsys):
    code, out, _ = call(capsys, "train", "ilql", "--help")
    assert code == 0
    for option in ("--tau", "--cql-weight", "--lr", "--batch-size", "--data", "--decoding-episodes"):
        assert option in out
    assert "expectile of the value" in out
    assert "AdamW" in out
    assert "--evaluators" not in out and "--logged-fraction" in out


def test_names_shown_without_torch_are_the_names_there_are():
    assert {*cli.ORDER} == {*cli.COMMANDS, "train", "distil"}


def test_list(capsys):
    code, out, _ = call(capsys, "list")
    assert code == 0
    assert all(name in out for name in ("Wordle-v0", "wordle-trap", "ilql", "quick"))
    lines = {line.split()[0]: line for line in out.splitlines() if line.strip()}
    assert "6 turns" in lines["Wordle-v0"] and "Find" in lines["Wordle-v0"]
    assert "Wordle-v0" in lines["Wordle-Paper-v0"]
    assert all(lines[name].split()[1:] for name in AGENTS), "an agent without a line of its own"
    assert "5 runs" in lines["trap-paper"] and "Next:" in lines
    assert "15 turns" in lines["MultiWOZ-Goal-v0"] and "3 turns" in lines["ClarifyingQA-v0"]
    assert "10,000" in lines["wordle-trap"] and "one per reply" in lines["dialogue-human"]
    assert "5 a context" in lines["samples"] and "runs, 25 min a seed" in lines["reddit-smollm2"]
    assert max(map(len, out.splitlines())) <= 80


def test_the_time_of_a_suite_is_the_documented_one():
    rows = (Path(__file__).parents[1] / "docs/benchmark.md").read_text().splitlines()
    for name, minutes in MINUTES.items():
        [row] = [row for row in rows if row.startswith(f"| `{name}` |")]
        assert row.split("|")[-2].strip() == ("an hour" if minutes == 60 else f"{minutes} minutes")


def test_show_an_environment_a_data_set_and_a_run(data, trained, capsys):
    assert "## Rewards" in call(capsys, "show", "MovieReview-v0")[1]
    assert "60 episodes" in call(capsys, "show", data)[1]
    assert '"tau": 0.9' in call(capsys, "show", trained)[1]


def test_show_a_recipe(capsys):
    code, out, _ = call(capsys, "show", "clarifying-qa")
    assert code == 0
    assert "played in ClarifyingQA-v0" in out and "--set " in out


def test_a_run_says_what_it_was_and_can_be_repeated(trained, tmp_path, capsys):
    config = json.loads((trained / "config.json").read_text())
    assert (config["agent"], config["steps"], config["seed"]) == ("ilql", 3, 5)
    assert (config["config"]["tau"], config["fit"]["batch_size"]) == (0.9, 8)
    code, _, _ = call(capsys, "train", "--from", trained / "config.json", "--out", tmp_path / "again")
    assert code == 0
    for name in ("config.json", "agent/model.safetensors"):
        assert (tmp_path / "again" / name).read_bytes() == (trained / name).read_bytes()


def test_eval_explain_and_play(trained, data, capsys, monkeypatch):
    code, out, _ = call(capsys, "eval", trained, "--episodes", 4, "--set", "greedy=true", "advantage_weight=2")
    assert code == 0
    assert "return" in out
    code, out, _ = call(capsys, "explain", trained, "--data", data, "--episodes", 1, "--numbers")
    assert code == 0
    assert "review : the movie" in out
    assert "advantage" in out
    monkeypatch.setattr("sys.stdin", io.StringIO("the movie was good\n"))
    code, out, _ = call(capsys, "play", "--agent", trained)
    assert code == 0
    assert "Return 0.5." in out
    monkeypatch.setattr("sys.stdin", io.StringIO("the film was dreadful\nthe movie was good\n"))
    code, out, _ = call(capsys, "play", "--agent", trained)
    assert "say it in other words" in out
    assert "Return 0.5." in out
    monkeypatch.setattr("sys.stdin", io.StringIO("q\n"))
    assert "Left the episode" in call(capsys, "play", "--agent", trained)[1]


def test_who_chooses_among_samples_is_evaluated_so(data, tmp_path, capsys, monkeypatch):
    from agents.utterance_ilql import BestUtterance

    few = ("--steps", 1, "--decoding-episodes", 0)
    code, _, _ = call(capsys, "train", "utterance_ilql", "--data", data, "--out", tmp_path / "u", *few)
    assert code == 0
    asked = []
    values = BestUtterance.values
    monkeypatch.setattr(BestUtterance, "values", lambda self, episodes: asked.append(1) or values(self, episodes))
    call(capsys, "eval", tmp_path / "u", "--episodes", 4)
    assert asked
    assert call(capsys, "explain", tmp_path / "u", "--episodes", 1)[0] == 0
    asked.clear()
    call(capsys, "eval", tmp_path / "u", "--episodes", 4, "--set", "greedy=True")
    assert not asked


def test_a_run_that_has_just_begun_can_be_shown(tmp_path, capsys):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "metrics.jsonl").write_text("")
    assert call(capsys, "show", tmp_path)[0] == 0


def test_bench_and_how_to_repeat_it(tmp_path, capsys, monkeypatch):
    from agents.benchmark import Suite

    [review] = [e for e in SUITES["quick"].experiments if e.name == "movie-review"]
    other = dataclasses.replace(review, name="other")
    monkeypatch.setitem(SUITES, "quick", Suite("quick", "Quick", (review, other), seeds=1))
    some = ("--only", "movie-review")
    code, out, _ = call(capsys, "bench", "quick", *some, "--out", tmp_path / "a", "--smoke", "--workers", 1)
    assert code == 0
    assert "report.html" in out
    assert [path.name for path in (tmp_path / "a/cells").iterdir()] == ["movie-review"]
    code, _, _ = call(capsys, "bench", "--from", tmp_path / "a/config.json", "--out", tmp_path / "b", "--workers", 1)
    assert code == 0
    assert (tmp_path / "a/results.parquet").read_bytes() == (tmp_path / "b/results.parquet").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["plai"], "did you mean 'play'?"),
        (["show", "Wordel-v0"], "did you mean 'Wordle-v0'?"),
        (["record", "wordle-trip", "--out", "nowhere"], "did you mean 'wordle-trap'?"),
        (["train", "ilqll", "--out", "nowhere"], "did you mean 'ilql'?"),
        (["train", "bc", "--out", "nowhere"], "pass --data FOLDER, or --env ID"),
        (["train", "bc", "--data", "nowhere", "--out", "x"], "there is no data set at"),
        (["train", "--from", "nowhere", "--out", "x"], "is not the config.json of a training run"),
        (["eval", "nowhere"], "holds no saved agent"),
        (["bench", "quck", "--out", "x"], "did you mean 'quick'?"),
        (
            ["bench", "quick", "--only", "trap", "--out", "x"],
            "The experiments of quick are smollm2, movie-review; 'trap' was",
        ),
        (["bench", "quick", "--from", "x", "--out", "x"], "not both"),
        (["bench", "--from", "nowhere", "--out", "x"], "nowhere should hold a JSON object"),
        (["train", "bc", "--env", "Nope-v0", "--out", "x"], "'Nope-v0' cannot be made"),
        (["train", "bc", "--env", "MovieReview-v0", "--logged-fraction", "2", "--out", "x"], "between 0 and 1, not 2"),
        (["eval", "nowhere", "--episodes", "0"], "--episodes must be at least 1"),
        (["explain", "nowhere", "--text", "a", "--next", "-3"], "a number of tokens, not -3"),
        (["explain", "nowhere", "--text", "a", "--data", "b"], "pass one of them"),
        (["ope", "nowhere", "--data", "x", "--gamma", "7"], "between 0 and 1, not 7"),
        (["show", "CartPole-v1"], "is no language environment"),
        (["check", "nomodule:Nope-v0"], "nomodule"),
        (["record", "movie-review", "--out", "x", "--set", "words"], "takes NAME=VALUE"),
        (["record", "movie-review", "--out", "x", "--set", "wrds=1"], "no option 'wrds'"),
        (["record", "movie-review", "--out", "x", "--set", "max_token=9"], "did you mean 'max_tokens'?"),
        (["record", "movie-review", "--out", "x", "--set", "a=1", "a=2"], "a is given twice, as 1 and as '2'"),
        (["record", "movie-review", "--out", "x", "--set", "a=1", "--set", "b=2"], "--set is given twice"),
        (["record", "movie-review", "--out", "x", "--set", "=2"], "takes NAME=VALUE"),
        (["train", "bc", "--out", "x", "--env-options", "words"], "--env-options takes NAME=VALUE"),
        (["train", "bc", "--out", "x", "--env-options", "a=1", "a=2"], "--env-options: a is given twice"),
        (["record", "movie-review", "--out", "x", "--set", "task=os:system"], "expected the task as 'module:Class'"),
        (["train", "bc", "--env", "MovieReview-v0", "--out", "x", "--out", "y"], "--out is given twice"),
        (["train", "bc", "--env", "MovieReview-v0", "--out", "x", "--lm", "d65-l2"], "did you mean 'd64-l2'?"),
        (["train", "bc", "--env", "MovieReview-v0", "--out", "x", "--lm", "no/path"], "'no/path' is no folder with a"),
        (["show", "wordle-trp"], "did you mean 'wordle-trap'?"),
        (["show", "WORDLE-V0"], "did you mean 'Wordle-v0'?"),
        (["show", "."], "no data set, and no run"),
    ],
)
def test_errors_are_one_line_and_exit_with_2(arguments, expected, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = call(capsys, *arguments)
    assert code == 2
    assert expected in err
    assert len(err.strip().splitlines()) == 1
    assert "Traceback" not in err + out
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_misspelt(trained, capsys):
    code, _, err = call(capsys, "show", trained.with_name("ilq"))
    assert code == 2 and f"did you mean '{trained}'?" in " ".join(err.split())


def test_words_and_options_that_an_agent_does_not_know(trained, capsys):
    code, _, err = call(capsys, "explain", trained, "--text", "the movei was good")
    assert code == 2 and "no tokens for 'movei'; did you mean 'movie'?" in err
    code, _, err = call(capsys, "eval", trained, "--set", "temp=3")
    assert code == 2 and "no decoding option of ilql 'temp'; did you mean 'temperature'?" in err


def test_episodes_of_another_environment(trained, tmp_path, capsys):
    from datasets_builders import build

    build("wordle-mixed", 4, tmp_path / "words", words="english-100", progress=False)
    code, _, err = call(capsys, "ope", trained, "--data", tmp_path / "words")
    assert code == 2 and "recorded with the tokenizer of Wordle-Paper-v0 (" in err
    assert "Use episodes of the environment in use" in err


def test_a_benchmark_from_a_file_imports_what_was_asked_for_alone(tmp_path, capsys, monkeypatch):
    config = shrunk(SUITES["quick"]).plain()
    config["experiments"] = [e for e in config["experiments"] if e["name"] == "movie-review"]
    config["experiments"][0]["env"] = "reviews_of_mine:Reviews-v0"
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "reviews_of_mine.py").write_text(
        "from pathlib import Path\nimport lang_envs\nPath(__file__).with_name('imported').touch()\n"
        "lang_envs.register('Reviews-v0', task='lang_envs.tasks.movie_review:MovieReview')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    how = ("bench", "--from", tmp_path / "config.json", "--out", tmp_path / "out", "--workers", 1)
    code, _, err = call(capsys, *how)
    assert code == 2 and "--import reviews_of_mine" in err
    assert not (tmp_path / "imported").exists() and not (tmp_path / "out").exists()
    code, _, err = call(capsys, *how, "--import", "reviews_of_mine")
    del gymnasium.registry["Reviews-v0"], sys.modules["reviews_of_mine"]
    assert code == 0 and (tmp_path / "imported").exists()


@pytest.mark.parametrize("odd", ["\x1b[2J", "a\0", "\x9b31m", "\u202e", "\ud800"])
def test_an_argument_that_would_steer_the_terminal_is_refused(odd, capsys):
    for arguments in (["list", odd], [odd], ["eval", "runs/x", "--set", f"greedy={odd}"]):
        code, out, err = call(capsys, *arguments)
        assert code == 2 and "an argument holds a control character or half a character" in err
        assert odd not in out + err


def test_the_module_runs_too():
    done = subprocess.run(
        [sys.executable, "-m", "agents.cli", "shwo"], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 2
    assert "did you mean 'show'?" in done.stderr


def test_the_command_does_not_wait_for_torch():
    code = "import sys; from agents.cli import main; main(['list']); main([]); assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr


def test_the_first_name_used_registers_the_model():
    code = "import agents; agents.LM; from transformers import AutoConfig; AutoConfig.for_model('value_lm')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
