"""Everything in the suite is there and runs, shrunk to seconds."""

from my_suite import MY_SUITE

from agents.benchmark import run


def test_it_runs(tmp_path):
    report = run(MY_SUITE.smoke(), tmp_path / "run", say=lambda line: None)
    assert all(cell.label in report.read_text() for cell in MY_SUITE.experiments[0].cells)
