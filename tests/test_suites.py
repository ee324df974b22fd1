"""Every suite runs, shrunk to seconds: its settings are ones its agents, recipes and environments take."""

import os
from pathlib import Path

import pytest

from agents.benchmark import SUITES, run

FILES = Path(os.environ.get("LANG_ENVS_DATA", "nowhere")) / "dialogue"
REAL = ("human-feedback", "dialogue-real")


@pytest.mark.slow
@pytest.mark.parametrize("name", SUITES)
def test_every_suite_runs(name, tmp_path):
    if name in REAL and not any(FILES.glob("taskmaster4")):
        pytest.skip(f"{name} learns from Taskmaster's files; set LANG_ENVS_DATA to the folder with dialogue/")
    suite = SUITES[name].smoke()
    report = run(suite, tmp_path, command=f"lang-envs bench {name} --smoke", say=lambda line: None)
    table = (tmp_path / "table.md").read_text()
    for experiment in suite.experiments:
        assert experiment.title in table and experiment.title in report.read_text()
        for label in (
            *(c.label for c in experiment.cells),
            *(f"{b.label} (not trained)" for b in experiment.baselines),
        ):
            assert f"| {label} |" in table
