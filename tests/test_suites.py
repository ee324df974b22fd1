"""Every suite runs, shrunk to seconds: its settings are ones its agents, recipes and environments take."""

import os
import zipfile
from pathlib import Path

import pytest

from agents.benchmark import SUITES, run

FILES = Path(os.environ.get("LANG_ENVS_DATA", "nowhere")) / "dialogue"
REAL = {"human-feedback": {"taskmaster3", "taskmaster4"}, "dialogue-real": {"taskmaster4", "multiwoz"}}


@pytest.fixture
def real_files(tmp_path, monkeypatch):
    """Dialogues as the suites want them: Taskmaster's, and MultiWOZ's of any split as one file without lists."""
    dialogues = tmp_path / "files" / "dialogue"
    dialogues.mkdir(parents=True)
    for folder in FILES.glob("taskmaster*"):
        (dialogues / folder.name).symlink_to(folder)
    for archive in FILES.glob("multiwoz21/val.json.zip"):
        (dialogues / "multiwoz").mkdir()
        (dialogues / "multiwoz" / "data.json").write_bytes(zipfile.ZipFile(archive).read("val.json"))
    monkeypatch.setenv("LANG_ENVS_DATA", str(dialogues.parent))
    return {path.name for path in dialogues.iterdir()}


@pytest.mark.slow
@pytest.mark.parametrize("name", SUITES)
def test_every_suite_runs(name, tmp_path, real_files):
    if missing := REAL.get(name, set()) - real_files:
        pytest.skip(f"{name} learns from {missing}, not found; set LANG_ENVS_DATA to the folder with dialogue/")
    suite = SUITES[name].smoke()
    report = run(suite, tmp_path / "run", command=f"lang-envs bench {name} --smoke", say=lambda line: None)
    table = (tmp_path / "run" / "table.md").read_text()
    for experiment in suite.experiments:
        assert experiment.title in table and experiment.title in report.read_text()
        for label in (
            *(c.label for c in experiment.cells),
            *(f"{b.label} (not trained)" for b in experiment.baselines),
        ):
            assert f"| {label} |" in table
