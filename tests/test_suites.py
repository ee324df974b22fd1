"""Every suite runs, shrunk to seconds: its agents, recipes and environments take its settings.

Suites of SmolLM2 are only checked and not run, because the large vocabulary makes them take a minute.
"""

import os
import zipfile
from pathlib import Path

import pytest

from agents.benchmark import SUITES, run
from agents.benchmark.running.check import check
from agents.benchmark.smoke import shrunk

DATA = Path(os.environ.get("LANG_ENVS_DATA", "nowhere"))
FILES = DATA / "dialogue"
OF_SMOLLM2 = {
    "dialogue-smollm2": ("dialogue/taskmaster4", "dialogue/multiwoz21"),
    "multiwoz-goal-smollm2": ("dialogue/multiwoz21",),
    "reddit-smollm2": ("reddit/goemotions",),
    "clarifying-qa-smollm2": ("qa/openbookqa_swag", "qa/arc_official_jsonl"),
    "human-feedback-smollm2": ("dialogue/taskmaster3", "dialogue/taskmaster4"),
    "service-desk-smollm2": (),
}
REAL = {
    "human-feedback": {"taskmaster3", "taskmaster4"},
    "dialogue-real": {"taskmaster4", "multiwoz"},
    "multiwoz-goal": {"multiwoz"},
}


@pytest.fixture(scope="module")
def real_folder(tmp_path_factory):
    """Dialogues as the suites want them: Taskmaster's, and MultiWOZ's of any split as one file, with its databases."""
    dialogues = tmp_path_factory.mktemp("files") / "dialogue"
    dialogues.mkdir()
    for folder in FILES.glob("taskmaster*"):
        (dialogues / folder.name).symlink_to(folder)
    for archive in FILES.glob("multiwoz21/val.json.zip"):
        (dialogues / "multiwoz").mkdir()
        (dialogues / "multiwoz" / "data.json").write_bytes(zipfile.ZipFile(archive).read("val.json"))
        (dialogues / "multiwoz" / "db").symlink_to(archive.parent / "db")
    for kind in ("qa", "reddit"):
        if (DATA / kind).exists():
            (dialogues.parent / kind).symlink_to(DATA / kind)
    return dialogues.parent


@pytest.fixture
def real_files(real_folder, monkeypatch):
    """The names of those corpora of dialogues that are there."""
    monkeypatch.setenv("LANG_ENVS_DATA", str(real_folder))
    return {path.name for path in (real_folder / "dialogue").iterdir()}


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in SUITES if name not in OF_SMOLLM2])
def test_every_suite_runs(name, tmp_path, real_files):
    if missing := REAL.get(name, set()) - real_files:
        pytest.skip(f"{name} learns from {missing}, not found; set LANG_ENVS_DATA to the folder with dialogue/")
    if name == "multiwoz-goal":  # a cell alone is left of its longest experiment
        check(SUITES[name], tmp_path / "run")
    suite = shrunk(SUITES[name])
    report = run(suite, tmp_path / "run", command=f"lang-envs bench {name} --smoke", say=lambda line: None)
    table = (tmp_path / "run" / "table.md").read_text()
    for experiment in suite.experiments:
        assert experiment.title in table and experiment.title in report.read_text()
        for label in (
            *(c.label for c in experiment.cells),
            *(f"{b.label} (not trained)" for b in experiment.baselines),
        ):
            assert f"| {label} |" in table


@pytest.mark.usefixtures("smollm2")
@pytest.mark.parametrize("name", OF_SMOLLM2)
def test_every_suite_of_smollm2_can_run(name, tmp_path, real_files):
    if missing := [folder for folder in OF_SMOLLM2[name] if not (DATA / folder).exists()]:
        pytest.skip(f"{name} learns from {missing}, not found; set LANG_ENVS_DATA to the folder that holds them")
    check(SUITES[name], tmp_path / "run")
    small = shrunk(SUITES[name])  # it has no model to play as it comes
    assert not any(experiment.pretrained for experiment in small.experiments)
    assert all(cell.trained or cell.start for experiment in small.experiments for cell in experiment.cells)
