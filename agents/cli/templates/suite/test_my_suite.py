"""Runs the whole suite, shrunk to seconds."""

from my_suite import MY_SUITE

from agents.benchmark import run
from agents.benchmark.smoke import shrunk


def test_it_runs(tmp_path):
    report = run(shrunk(MY_SUITE), tmp_path / "run", say=lambda line: None)
    assert all(cell.label in report.read_text() for cell in MY_SUITE.experiments[0].cells)
