"""A module that a file names is imported only if the user asked for it."""

import json
import sys

import gymnasium as gym
import pytest

from agents.cli import main
from agents.runs.config import RunConfig
from agents.runs.environment import environment
from datasets_builders import EpisodeDataset, build
from lang_envs.make import of_file

EVIL = """
import pathlib, gymnasium
pathlib.Path("imported").touch()
from lang_envs.tasks.movie_review import MovieReview
class Evil(MovieReview):
    pass
gymnasium.register(
    "Evil-v0",
    entry_point="lang_envs.make:make_env",
    vector_entry_point="lang_envs.make:make_vec_env",
    order_enforce=False,
    kwargs={"task": "evil_module:Evil"},
)
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The current folder holds ``evil_module.py`` and is where modules are looked for, as under ``python -m``."""
    (tmp_path / "evil_module.py").write_text(EVIL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    sys.modules.pop("evil_module", None)
    gym.registry.pop("Evil-v0", None)


def imported(here) -> bool:
    return (here / "imported").exists()


def recorded(here, env: dict) -> None:
    """A data set by hand, whose provenance names ``env``."""
    build("movie-review", 8, here / "d", progress=False)
    file = here / "d" / "provenance.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "env": env}))
    (here / "d" / "checksums.json").unlink()


TRAIN = ["train", "bc", "--data", "d", "--out", "run", "--steps", "1", "--batch-size", "2"]


@pytest.mark.parametrize(
    "env",
    [
        {"id": "evil_module:Evil-v0", "kwargs": {}},
        {"id": "MovieReview-v0", "kwargs": {"task": "evil_module:Evil"}},
        {"id": "evil_module:MovieReview-v0", "kwargs": {"task": "evil_module:Evil"}},
    ],
)
@pytest.mark.filterwarnings("ignore:.*has no checksums")
def test_a_data_set_imports_nothing(here, capsys, env):
    recorded(here, env)
    assert main(TRAIN) == 2
    told = capsys.readouterr().err
    assert "evil_module" in told and ("--env evil_module:Evil-v0" in told or "--import evil_module" in told)
    assert not imported(here)


@pytest.mark.filterwarnings("ignore:.*has no checksums")
@pytest.mark.parametrize("said", ["--env evil_module:Evil-v0", "--import evil_module", "--import=evil_module"])
def test_what_the_command_names_is_imported(here, said):
    recorded(here, {"id": "evil_module:Evil-v0", "kwargs": {}})
    assert main([*TRAIN, *said.split()]) == 0
    assert imported(here)


def test_an_id_that_is_registered_goes_without_its_module(here):
    assert of_file("evil_module:MovieReview-v0", {}, "x") == ("MovieReview-v0", {})
    assert of_file("MovieReview-v0", {"task": "lang_envs.tasks.movie_review:MovieReview"}, "x")[0] == "MovieReview-v0"
    with pytest.raises(ValueError, match=r"^x names 'evil_module:Evil-v0'.*--import evil_module"):
        of_file("evil_module:Evil-v0", {}, "x")
    assert not imported(here)


@pytest.mark.parametrize(("env_id", "options"), [(3, {}), (None, {}), ("MovieReview-v0", [1])])
def test_what_is_no_environment_is_refused(env_id, options):
    with pytest.raises(ValueError, match="x: expected the id of an environment"):
        of_file(env_id, options, "x")


def test_a_run_imports_nothing(here, capsys):
    build("movie-review", 8, here / "d", progress=False)
    assert main(TRAIN) == 0
    config = here / "run" / "config.json"
    asked = json.loads(config.read_text())
    config.write_text(json.dumps({**asked, "data": None, "env": "evil_module:Evil-v0"}))
    capsys.readouterr()
    for command in (["eval", "run"], ["train", "--from", "run", "--out", "again"], ["play", "--agent", "run"]):
        assert main(command) == 2
        assert "--import evil_module" in capsys.readouterr().err
    config.write_text(json.dumps({**asked, "env_options": {"task": "evil_module:Evil"}}))
    assert main(["eval", "run"]) == 2
    assert "--import evil_module" in capsys.readouterr().err
    assert not imported(here)
    config.write_text(json.dumps({**asked, "data": None, "env": "evil_module:Evil-v0"}))
    assert main(["eval", "run", "--episodes", "2", "--import", "evil_module"]) == 0
    assert imported(here)


def test_the_module_of_the_command_line_goes_with_the_options_of_the_data(here):
    """A recording names the bare id; the command says which module registers it."""
    sys.modules.pop("evil_module", None)
    build("movie-review", 8, here / "d", progress=False, env_id="evil_module:Evil-v0", max_tokens=64)
    assert EpisodeDataset.load("d").provenance["env"]["id"] == "Evil-v0"
    env = environment(RunConfig("bc", {}, {}, 1, data="d", env="evil_module:Evil-v0"))
    assert env.max_tokens == 64


@pytest.mark.parametrize(
    "task", ["os:system", "json:loads", "os:nothing", "builtins:dict", "no_such_module:Task", ":", ""]
)
def test_a_task_is_a_task_and_no_function_is_called(task):
    with pytest.raises(ValueError, match=r"subclass of Task|cannot be imported"):
        gym.make("MovieReview-v0", task=task, command="touch called")


def test_import_takes_a_module(capsys):
    assert main(["list", "--import"]) == 2
    assert main(["list", "--import", "no_such_module"]) == 2
    assert "'no_such_module' cannot be imported" in capsys.readouterr().err
