import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from agents.benchmark import SUITES, Baseline, Cell, Data, Experiment, Suite, run
from agents.benchmark.running.units import data_folder, units
from agents.benchmark.suite_file import suite_of_plain

FIT = {"steps": 4, "batch_size": 8}


def suite(**changes):
    experiment = Experiment(
        name="tiny",
        title="Tiny",
        about="Whether it runs.",
        data=Data("movie-review", episodes=40),
        env="MovieReview-v0",
        cells=(
            Cell("BC", "bc", fit=FIT),
            Cell("ILQL", "ilql", {"gamma": 1.0}, FIT, ({"greedy": True}, {"greedy": True, "advantage_weight": 2})),
        ),
        baselines=(Baseline("random", "random"), Baseline("optimal", "optimal")),
        normalise=("random", "optimal"),
        episodes=6,
        selection_episodes=4,
        exact_values=True,
        measure_every=2,
    )
    return Suite("tiny", "Tiny", (dataclasses.replace(experiment, **changes),), seeds=2)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    run(suite(), out, command="lang-envs bench tiny", say=lambda line: None)
    return out


def results(out):
    """Only where results can be: a run that goes on may be deleting checkpoints elsewhere."""
    found = [path for folder in (out, out / "out") for path in folder.glob("cells/*/*/*/result.json")]
    return {str(p.relative_to(out)): p.stat().st_mtime_ns for p in sorted(found)}


def test_every_cell_has_its_folder_and_the_report_its_files(finished):
    assert len(results(finished)) == 2 * 2 + 2
    ilql = finished / "cells/tiny/ilql/0"
    assert {"result.json", "training.json", "trained.json", "agent", "fit"} <= {p.name for p in ilql.iterdir()}
    assert not (ilql / "fit/checkpoints").exists()
    assert {"results.parquet", "table.md", "report.html", "config.json"} <= {p.name for p in finished.iterdir()}
    result = json.loads((ilql / "result.json").read_text())
    assert [row["step"] for row in result["curve"]] == [2, 4]
    assert result["decoding"] in [t["decoding"] for t in result["decodings"]]
    assert "values/optimal_error" in result["metrics"]


def test_finished_cells_are_not_run_again_and_edited_ones_are(finished, tmp_path):
    out = shutil.copytree(finished, tmp_path / "copy", copy_function=shutil.copy2)
    before = results(out)
    run(suite(), out, say=lambda line: None)
    assert results(out) == before
    edited = suite()
    [experiment] = edited.experiments
    bc, ilql = experiment.cells
    cells = (bc, dataclasses.replace(ilql, config={**ilql.config, "tau": 0.8}))
    edited = dataclasses.replace(edited, experiments=(dataclasses.replace(experiment, cells=cells),))
    run(edited, out, say=lambda line: None)
    changed = {name for name, made in results(out).items() if made != before[name]}
    assert changed == {"cells/tiny/ilql/0/result.json", "cells/tiny/ilql/1/result.json"}


def test_a_killed_run_goes_on_where_it_was_and_workers_change_nothing(finished, tmp_path):
    script = (
        "import json, sys\nfrom agents.benchmark import run\nfrom agents.benchmark.suite_file import suite_of_plain\n"
        "if __name__ == '__main__':\n"
        "    run(suite_of_plain(json.loads(sys.argv[1])), sys.argv[2], workers=2, say=lambda line: None)\n"
    )
    (tmp_path / "killed.py").write_text(script)
    arguments = [sys.executable, tmp_path / "killed.py", json.dumps(suite().plain()), tmp_path / "out"]
    process = subprocess.Popen(arguments, env={**os.environ, "PYTHONPATH": os.getcwd()})
    try:
        deadline = time.monotonic() + 100
        while not (kept := results(tmp_path)) and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert kept, "nothing was finished before the process was killed"
    time.sleep(0.5)  # the workers notice
    kept = results(tmp_path)
    run(suite(), tmp_path / "out", command="lang-envs bench tiny", say=lambda line: None)
    after = results(tmp_path)
    assert len(after) == 6
    assert kept.items() <= after.items()
    for name in ("results.parquet", "table.md", "tiny-returns.png"):
        assert (tmp_path / "out" / name).read_bytes() == (finished / name).read_bytes()


def test_a_folder_of_another_suite_is_refused(finished):
    with pytest.raises(ValueError, match="holds results of the suite 'tiny'"):
        run(dataclasses.replace(suite(), name="other"), finished, say=lambda line: None)


def test_a_folder_in_which_a_run_is_at_work_is_refused(finished, tmp_path):
    refusals = []

    def meanwhile(line):
        with pytest.raises(FileExistsError, match="is at work in") as refusal:
            run(suite(), tmp_path, say=lambda line: None)
        refusals.append(refusal)

    shutil.copytree(finished / "cells/tiny", tmp_path / "cells/tiny", ignore=shutil.ignore_patterns("1"))
    shutil.copy(finished / "config.json", tmp_path)
    run(dataclasses.replace(suite(), seeds=1), tmp_path, say=meanwhile)
    assert refusals
    run(dataclasses.replace(suite(), seeds=1), tmp_path, say=lambda line: None)


def test_a_cell_that_cannot_run_says_why(tmp_path):
    wrong = suite(cells=(Cell("REINFORCE", "reinforce", fit=FIT),))
    with pytest.raises(ValueError, match="no agent 'reinforce'"):
        run(wrong, tmp_path, say=lambda line: None)
    wrong = suite(cells=(Cell("BC", "bc", fit=FIT, decodings=({"advantage_weight": 1.0}, {})),))
    with pytest.raises(ValueError, match="advantage_weight needs an agent with values"):
        run(wrong, tmp_path, say=lambda line: None)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_cell_that_fails_stops_none_but_those_that_need_it(workers, tmp_path):
    def labelled(lr):
        cells = (
            Cell("diverges", "bc", fit={**FIT, "lr": lr}),
            Cell("goes on", "bc", fit=FIT, start="diverges"),
            Cell("BC", "bc", fit=FIT),
        )
        return dataclasses.replace(suite(cells=cells, exact_values=False), seeds=1)

    said = []
    with pytest.raises(ValueError, match=r"2 of 5 pieces failed.*tiny/diverges/0: The loss is (nan|inf)"):
        run(labelled(1e30), tmp_path, workers, say=said.append)
    assert any("tiny/goes on/0 failed: it needs tiny/diverges/0" in line for line in said)
    table = (tmp_path / "table.md").read_text()
    assert "| BC |" in table and "| tiny/goes on/0 | it needs tiny/diverges/0 |" in table
    assert "it needs tiny/diverges/0" in (tmp_path / "report.html").read_text()
    before = results(tmp_path)
    run(labelled(1e-3), tmp_path, workers, say=lambda line: None)
    assert before.items() <= results(tmp_path).items() and "Failed" not in (tmp_path / "table.md").read_text()


def test_labels_that_would_share_a_folder_are_refused(tmp_path):
    for others in (("BC", "BC"), ("DT a", "dt-a")):
        cells = tuple(Cell(label, "bc", fit=FIT) for label in others)
        with pytest.raises(ValueError, match="label them apart"):
            run(suite(cells=cells), tmp_path, say=lambda line: None)


@pytest.mark.parametrize("name", SUITES)
def test_suites_survive_json_and_name_what_exists(name, tmp_path):
    from typing import get_type_hints

    from agents import AGENTS, FitConfig
    from datasets_builders import RECIPES

    whole = SUITES[name]
    assert suite_of_plain(whole.plain()).plain() == whole.plain()
    for experiment in whole.experiments:
        assert experiment.data.recipe in RECIPES
        labels = [b.label for b in experiment.baselines]
        assert {mark for mark in experiment.normalise or () if isinstance(mark, str)} <= set(labels)
        for cell in experiment.cells:
            get_type_hints(AGENTS[cell.agent])["config"](**cell.config)
            FitConfig(**{k: v for k, v in cell.fit.items() if k != "steps"})
    folders = [unit.folder for unit in units(whole, tmp_path)]
    assert len(folders) == len(set(folders))


def test_data_sets_with_other_settings_have_other_folders(tmp_path):
    one = Data("wordle-trap", 10)
    folders = {data_folder(tmp_path, d) for d in (one, Data("wordle-trap", 11), Data("wordle-trap", 10, seed=1))}
    assert len(folders) == 3
    assert data_folder(tmp_path, Data("wordle-trap", 10)) == data_folder(tmp_path, one)
