"""``lang-envs init`` writes packages that pass their own tests, and short ones."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from agents import cli

ROOT = Path(__file__).parents[1]
LINES = {"task": 40, "agent": 60, "suite": 40}
NAMES = {"task": "number_game", "agent": "td", "suite": "reviews_of_mine"}


def test_packages_pass_their_own_tests_at_once(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for kind, name in NAMES.items():
        assert cli.main(["init", kind, name]) == 0
        assert f"  pytest {name}\n" in capsys.readouterr().out
        folder = tmp_path / name
        assert {path.name for path in folder.iterdir()} == {"pyproject.toml", f"{name}.py", f"test_{name}.py"}
        assert len((folder / f"{name}.py").read_text().splitlines()) <= LINES[kind]
        assert not any("my" in path.read_text().lower().split() for path in folder.iterdir())
    command = [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", *NAMES.values()]
    paths = os.pathsep.join([str(ROOT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
    env = {**os.environ, "PYTHONPATH": paths}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    assert all(f"test_{name}.py::" in done.stdout for name in NAMES.values())


@pytest.mark.parametrize("kind", LINES)
def test_its_entry_points_lead_to_what_is_there(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["init", kind, NAMES[kind]]) == 0
    project = tomllib.loads((tmp_path / NAMES[kind] / "pyproject.toml").read_text())["project"]
    code = (tmp_path / NAMES[kind] / f"{NAMES[kind]}.py").read_text()
    for group, entries in project["entry-points"].items():
        assert group in {"lang_envs.tasks", "lang_envs.recipes", "lang_envs.agents", "lang_envs.suites"}
        for name, at in entries.items():
            module, _, attribute = at.partition(":")
            assert module == NAMES[kind] and attribute in code
            assert f'"{name}"' in code  # under the name that it has of itself


@pytest.mark.parametrize("name", ["My", "1a", "class", "a-b", "../a", "json", "a__b", ""])
def test_names_that_no_module_can_have_are_refused(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["init", "task", name]) == 2
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_written_over(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "game").mkdir()
    assert cli.main(["init", "task", "game"]) == 2
    assert "exists" in capsys.readouterr().err and list((tmp_path / "game").iterdir()) == []
