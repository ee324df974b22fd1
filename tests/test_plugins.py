"""Code of others is found: by entry points of their package, by its module and name, and in the current folder."""

import json
import os
import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import pytest
from toy_agent import make_episodes, make_lm

from agents import AGENTS, Agent, Logged, cli
from agents.agent import agent_class
from agents.benchmark import Baseline, Cell, Data, Experiment, Suite, run
from agents.benchmark.running.units import units
from agents.benchmark.smoke import shrunk
from agents.benchmark.suite_file import suite_of_plain
from datasets_builders import RECIPES, EpisodeDataset, build
from lang_envs import plugins
from lang_envs.make import utterance_env
from lang_envs.registration import register_offered

ROOT = Path(__file__).parents[1]
MINE = """
from agents import BC
from agents.benchmark import Baseline, Cell, Data, Experiment, Suite
from datasets_builders import Recipe, episodes_of
from lang_envs import register
from lang_envs.policies.movie_review import Reviewer
from lang_envs.tasks.movie_review import MovieReview

class Reviews(MovieReview):
    "Reviews of mine."

class Clone(BC):
    name = "clone_of_mine"

def reviewer(env):
    return Reviewer(env.task)

register("ReviewsOfMine-v0", task="mine_of_tests:Reviews")
LOGS = Recipe("reviews-of-mine", "ReviewsOfMine-v0", "Mine.", episodes_of(reviewer, "me"))
SUITE = Suite("suite-of-mine", "Mine", (Experiment(
    "mine", "Mine", "", Data("mine_of_tests:LOGS", 60), "ReviewsOfMine-v0",
    (Cell("clone", "mine_of_tests:Clone", fit={"steps": 2, "batch_size": 8}),
     Cell("again", "mine_of_tests:Clone", fit={"steps": 2, "batch_size": 8}, start="clone")),
    baselines=(Baseline("me", "mine_of_tests:reviewer"),), episodes=4, selection_episodes=2, reference="clone",
),), seeds=1)
NO_SUITE = 3
"""


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A module in the current folder, which is not where modules are looked for, as under a console script."""
    (tmp_path / "mine_of_tests.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    monkeypatch.setattr(plugins, "_named", {})
    yield tmp_path
    sys.modules.pop("mine_of_tests", None)
    gym.registry.pop("ReviewsOfMine-v0", None)


@pytest.fixture
def installed(mine, monkeypatch):
    """The same as an installed package that offers each kind of thing."""
    info = mine / "mine_of_tests-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mine-of-tests\nVersion: 1.0\n")
    offers = {"tasks": "ReviewsOfMine-v0 = mine_of_tests:Reviews", "agents": "clone_of_mine = mine_of_tests:Clone"}
    offers |= {"recipes": "reviews-of-mine = mine_of_tests:LOGS", "suites": "suite-of-mine = mine_of_tests:SUITE"}
    offers |= {"policies": "me = mine_of_tests:reviewer"}
    text = "\n".join(f"[lang_envs.{kind}]\n{entry}" for kind, entry in offers.items())
    (info / "entry_points.txt").write_text(text)
    monkeypatch.syspath_prepend(str(mine))
    plugins.offered.cache_clear()
    register_offered()
    yield mine
    plugins.offered.cache_clear()


def call(capsys, *arguments):
    code = cli.main([str(argument) for argument in arguments])
    return code, *capsys.readouterr()


def test_what_a_package_offers_is_listed_and_not_imported(installed, capsys):
    code, out, _ = call(capsys, "list")
    names = ("ReviewsOfMine-v0", "reviews-of-mine", "clone_of_mine", "suite-of-mine")
    assert code == 0 and all(name in out for name in names)
    assert "mine_of_tests" not in sys.modules


def test_what_a_package_offers_is_found_by_its_name(installed, capsys):
    assert gym.make("ReviewsOfMine-v0").unwrapped.task.__doc__ == "Reviews of mine."
    assert call(capsys, "show", "reviews-of-mine")[0] == 0
    assert len(build("reviews-of-mine", 8, installed / "logs", progress=False)) == 8
    train = ("train", "clone_of_mine", "--data", "logs", "--out", "run", "--steps", 1, "--decoding-episodes", 0)
    assert call(capsys, *train, "--batch-size", 4)[0] == 0
    assert type(Agent.load("run/agent")).__name__ == "Clone"
    assert "clone_of_mine" not in AGENTS and "reviews-of-mine" not in RECIPES


def test_a_saved_agent_of_a_package_needs_no_import(installed):
    folder = agent_class("clone_of_mine")(make_lm()).save(installed / "agent")
    sys.modules.pop("mine_of_tests")
    assert json.loads((folder / "agent.json").read_text())["home"] == "mine_of_tests:Clone"
    assert Agent.load(folder).name == "clone_of_mine"


def test_a_saved_agent_of_a_module_needs_one(mine, capsys):
    agent = agent_class("mine_of_tests:Clone")(make_lm()).learn(Logged(make_episodes(8)), 1, batch_size=4)
    folder = agent.save(mine / "agent")
    sys.modules.pop("mine_of_tests")
    with pytest.raises(ValueError, match=r"agent\.json names 'mine_of_tests:Clone'.*--import mine_of_tests"):
        Agent.load(folder)
    plugins.import_named("mine_of_tests")
    assert Agent.load(folder).step == 1


def test_the_command_finds_modules_in_the_current_folder(mine, capsys):
    assert call(capsys, "show", "mine_of_tests:ReviewsOfMine-v0")[0] == 0
    assert utterance_env("mine_of_tests:ReviewsOfMine-v0").task.__doc__ == "Reviews of mine."
    assert call(capsys, "record", "mine_of_tests:LOGS", "--episodes", 8, "--out", "logs")[0] == 0
    provenance = EpisodeDataset.load("logs").provenance
    assert (provenance["name"], provenance["env"]["id"]) == ("reviews-of-mine", "ReviewsOfMine-v0")
    code, _, err = call(capsys, "bench", "mine_of_tests:NO_SUITE", "--out", "run")
    assert code == 2 and "'mine_of_tests:NO_SUITE' is no benchmark, but 3" in err
    code, _, err = call(capsys, "train", "mine_of_tests:Reviews", "--out", "run")
    assert code == 2 and "'mine_of_tests:Reviews' is no agent" in err


def test_the_current_folder_takes_the_place_of_nothing(mine):
    (mine / "json.py").write_text("raise SystemExit")
    (mine / "yaml.py").write_text("raise SystemExit")
    plugins.import_named("mine_of_tests")
    sys.modules.pop("yaml", None)
    assert not str(plugins.import_named("yaml").__file__).startswith(str(mine))
    before = list(sys.path)
    with pytest.raises(ValueError, match="'nowhere_at_all' cannot be imported"):
        plugins.import_named("nowhere_at_all")
    assert sys.path == before


def test_a_task_with_a_wrong_id_does_no_harm(installed):
    (installed / "mine_of_tests-1.0.dist-info" / "entry_points.txt").write_text("[lang_envs.tasks]\nno/such/id = a:B")
    plugins.offered.cache_clear()
    with pytest.warns(UserWarning, match="'a:B' of an installed package has no id"):
        register_offered()


@pytest.mark.slow  # processes that import everything
def test_workers_import_what_was_named(mine):
    """By the command as it is installed, with two processes; the module lies in the current folder alone."""
    command = "import sys; sys.path.remove(''); from agents.cli import main; sys.exit(main(sys.argv[1:]))"
    arguments = ["bench", "mine_of_tests:SUITE", "--out", "run", "--workers", "2", "--seeds", "2"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", command, *arguments], env=env, capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list(mine.glob("run/cells/mine/*/?/agent/agent.json"))) == 4


def test_a_suite_out_of_a_file_imports_nothing(mine, capsys):
    agent = Cell("x", "mine_of_tests:Clone", fit={"steps": 1})
    policy = Baseline("x", "mine_of_tests:reviewer")
    for changes in ({"cells": (agent,)}, {"baselines": (policy,)}, {"data": Data("mine_of_tests:LOGS", 8)}):
        config = Suite("x", "X", (small(**changes),)).plain()
        (mine / "config.json").write_text(json.dumps(config))
        code, _, err = call(capsys, "bench", "--from", "config.json", "--out", "run")
        assert code == 2 and "--import mine_of_tests" in err
    assert "mine_of_tests" not in sys.modules


def small(**changes):
    fit = {"steps": 2, "batch_size": 8}
    settings = {"data": Data("movie-review", 40), "cells": (Cell("BC", "bc", fit=fit),)} | changes
    return Experiment("e", "E", "", env="MovieReview-v0", episodes=4, selection_episodes=2, **settings)


def test_data_at_a_path_are_learned_from_where_they_are(tmp_path):
    build("movie-review", 40, tmp_path / "logs", progress=False)
    suite = Suite("x", "X", (small(data=Data(path=str(tmp_path / "logs"))),), seeds=1)
    out = tmp_path / "run"
    report = run(suite, out, say=lambda line: None)
    assert f"the folder {tmp_path / 'logs'}" in report.read_text() and not (out / "data").exists()
    assert suite_of_plain(json.loads((out / "config.json").read_text())) == suite == suite_of_plain(suite.plain())
    assert shrunk(suite).experiments[0].data == suite.experiments[0].data
    (unit,) = units(suite, out)
    assert unit.result()
    build("movie-review", 48, tmp_path / "other", progress=False)
    (tmp_path / "logs").rename(tmp_path / "before")
    (tmp_path / "other").rename(tmp_path / "logs")
    assert units(suite, out)[0].result() is None  # other logs, other results


def test_data_that_fit_nothing_are_refused(tmp_path):
    build("wordle-mixed", 4, tmp_path / "words", words="english-100", progress=False)
    for path, words in ((tmp_path / "words", "tokenizer of Wordle-Paper-v0"), (tmp_path / "no", "no")):
        with pytest.raises(ValueError, match=f"The experiment 'e': .*{words}"):
            run(Suite("x", "X", (small(data=Data(path=str(path))),), seeds=1), tmp_path / "run")
    for wrong in ({}, {"recipe": "a", "path": "b"}, {"path": "b", "episodes": 3}, {"path": "b", "options": {"a": 1}}):
        with pytest.raises(ValueError, match=r"Data are of a recipe or at a path|are there: leave out"):
            Data(**wrong)


def test_a_recipe_s_data_are_named_as_before():
    plain = Suite("x", "X", (small(),)).plain()["experiments"][0]
    assert plain["data"] == {"recipe": "movie-review", "episodes": 40, "seed": 0, "options": {}}
