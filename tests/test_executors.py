"""Results of a benchmark depend neither on where its cells run nor on additional logging."""

import dataclasses
import json

import pytest
from test_runner import suite

from agents import cli
from agents.benchmark import Cell, run
from agents.benchmark.running.units import units


def quiet(line):
    pass


def small(**changes):
    """Two runs of one agent, and of another that goes on from it."""
    fit = {"steps": 2, "batch_size": 8}
    cells = (Cell("on", "bc", fit=fit, start="BC"), Cell("BC", "bc", fit=fit))
    return suite(**{"cells": cells, "baselines": (), **changes})


@pytest.fixture(scope="module")
def ray():
    """Ray on this machine alone, ended with this file's tests."""
    ray = pytest.importorskip("ray", reason="the extra ray is not installed: pip install 'lang-envs[ray]'")
    if ray.is_initialized():
        pytest.skip("a Ray cluster is in use")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_ADDRESS", "local")
        yield ray
    ray.shutdown()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("processes")
    run(small(normalise=None), out, say=quiet)
    return out


def test_processes_wait_for_what_they_need(finished, tmp_path):
    run(small(normalise=None), tmp_path, workers=2, say=quiet)
    assert (tmp_path / "results.parquet").read_bytes() == (finished / "results.parquet").read_bytes()


@pytest.mark.slow  # a cluster takes seconds to start, and its workers to import everything
def test_a_cluster_gives_what_processes_give(ray, finished, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run(small(normalise=None), "out", say=quiet, executor="ray")  # a relative folder, as people type it
    results = {path.parent.name for path in (tmp_path / "out").rglob("result.json")}
    assert results == {"0", "1"}
    for name in ("results.parquet", "tiny-returns.png"):
        assert (tmp_path / "out" / name).read_bytes() == (finished / name).read_bytes()
    run(small(normalise=None), "out", say=quiet)  # the other executor finds everything finished
    wrong = small(normalise=None, cells=(Cell("REINFORCE", "reinforce", fit={"steps": 2}),))
    with pytest.raises(ValueError, match="no agent 'reinforce'") as caught:
        run(wrong, tmp_path / "wrong", say=quiet, executor="ray")
    assert "Traceback" not in str(caught.value)


def test_other_executors_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no executor 'slurm'; choose one of processes, ray"):
        run(small(), tmp_path / "out", executor="slurm")
    assert not (tmp_path / "out").exists()


def test_without_ray_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(ValueError, match=r"pip install 'lang-envs\[ray\]'"):
        run(small(normalise=None), tmp_path / "out", say=quiet, executor="ray")


def test_logging_for_tensorboard_changes_no_result(finished, tmp_path):
    pytest.importorskip("tensorboard", reason="the extra tensorboard is not installed")
    run(small(normalise=None), tmp_path, say=quiet, tensorboard=True)
    assert len(list(tmp_path.rglob("fit/tensorboard/events.*"))) == 4
    assert (tmp_path / "results.parquet").read_bytes() == (finished / "results.parquet").read_bytes()
    specs = [json.loads(path.read_text()) for path in (tmp_path / "cells").rglob("trai*.json")]
    assert not any("tensorboard" in json.dumps(spec) for spec in specs)
    plain = units(small(normalise=None), tmp_path)
    assert all(dataclasses.replace(unit, tensorboard=True).result() for unit in plain)


def test_the_command_has_both_options(capsys):
    with pytest.raises(SystemExit):
        cli.main(["bench", "--help"])
    out = capsys.readouterr().out
    assert "--executor {processes,ray}" in out and "--tensorboard" in out
