"""Several processes: two that torchrun starts train to the same result as one, and resume each other's checkpoints."""

import json
import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from distributed_runs import FAILURES, RUNS, make_agent, mixed, run
from safetensors.torch import load_file
from toy_agent import make_env, make_episodes, same_weights, weights

from agents import Agent, Logged
from agents.distributed import processes
from datasets_builders import build
from lang_envs import rollout

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where two processes wrote what ``distributed_runs`` has them do, each under its number."""
    out = tmp_path_factory.mktemp("distributed")
    for name in ("one", "one more"):
        run(make_agent("ilql"), mixed(), 2, out=out / name)  # what they go on with
    build("movie-review", 64, out / "data", progress=False)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [*launch, ROOT / "tests" / "distributed_runs.py", out],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-5000:]
    (out / "printed").write_text(done.stdout)
    return out


@pytest.mark.parametrize("name", RUNS)
def test_two_processes_train_as_one(name: str, out: Path, tmp_path: Path) -> None:
    rows, agent = RUNS[name](tmp_path)
    ours, tolerance = weights(agent), 100 if name == "bf16" else 1
    for process in (out / "process 0", out / "process 1"):
        theirs = json.loads((process / f"{name}.json").read_text())
        assert [row["step"] for row in theirs] == ([3, 4] if "gone on" in name else [row["step"] for row in rows])
        for row, other in zip(rows[-len(theirs) :], theirs, strict=True):
            expected = {key: value for key, value in row.items() if not key.startswith("time/")}
            assert {key: other[key] for key in expected} == pytest.approx(expected, rel=1e-4 * tolerance, abs=1e-5)
            assert row.keys() == other.keys()
        found = load_file(process / f"{name}.safetensors")
        assert found.keys() == ours.keys()
        for key, tensor in found.items():
            torch.testing.assert_close(tensor, ours[key], rtol=0, atol=2e-4 * tolerance)
    assert same_weights(*(load_file(out / f"process {i}" / f"{name}.safetensors") for i in (0, 1)))


@pytest.mark.parametrize("name", ["begun", "begun sharded"])
def test_one_process_goes_on_with_what_two_began(name: str, out: Path, tmp_path: Path) -> None:
    rows, whole = run(make_agent("ilql"), mixed(), 4)
    shutil.copytree(out / name, tmp_path / "run")
    more, resumed = run(make_agent("ilql"), mixed(), 4, out=tmp_path / "run")
    assert [row["step"] for row in more] == [3, 4]
    assert [row["data/return"] for row in more] == pytest.approx([row["data/return"] for row in rows[2:]], rel=1e-4)
    for key, tensor in weights(resumed).items():
        torch.testing.assert_close(tensor, weights(whole)[key], rtol=0, atol=2e-4)
    steps = [json.loads(line)["step"] for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert steps == [1, 2, 3, 4]  # of two processes one wrote


def test_as_many_processes_go_on_bit_for_bit(out: Path) -> None:
    whole, in_two, sharded = (
        load_file(out / "process 1" / f"dropout {name}.safetensors") for name in ("whole", "in two", "sharded in two")
    )
    assert same_weights(whole, in_two)
    for key, tensor in sharded.items():
        torch.testing.assert_close(tensor, whole[key], rtol=0, atol=2e-4)
    saved = load_file(out / "whole" / "checkpoints" / "step-000000003" / "optimizer.safetensors")
    assert not torch.equal(saved["generator/0/cpu"], saved["generator/1/cpu"])  # each has a dropout of its own


def test_each_of_two_processes_holds_half(out: Path) -> None:
    held = [float(json.loads((out / f"process {i}" / "failures.json").read_text())["held"]) for i in (0, 1)]
    assert sum(held) == pytest.approx(1) and held == pytest.approx([0.5, 0.5], abs=0.05)


def test_a_sharded_agent_is_saved_whole(out: Path) -> None:
    assert Agent.load(out / "early").step == 2
    agent = Agent.load(out / "agent")
    assert same_weights(weights(agent), load_file(out / "process 1" / "sharded ilql.safetensors"))
    assert len(list(rollout(make_env(), agent.policy(), range(4)))) == 4


def test_what_fails_on_one_process_ends_all_in_words(out: Path) -> None:
    first, second = (json.loads((out / f"process {i}" / "failures.json").read_text()) for i in (0, 1))
    assert first.keys() == second.keys() == {*FAILURES, "command", "held"}
    assert second["source"] == "OSError: the disk is gone"
    assert first["source"] == "ValueError: Process 1 stopped, and with it all 2: OSError: the disk is gone"
    assert first["evaluator"] == "ZeroDivisionError: no games were played"
    assert second["evaluator"].endswith("Process 0 stopped, and with it all 2: ZeroDivisionError: no games were played")
    for said in (first, second):
        assert "The loss is inf at step 1" in said["loss"]
        assert "5 episodes has no equal shares for 2 processes" in said["batch size"]
        assert "multiple of accumulate times 2 processes" in said["pairs"]
        assert "sharded ppo" not in said or "set shard=False" in said["sharded ppo"]


def test_the_first_process_alone_prints(out: Path) -> None:
    printed = (out / "printed").read_text()
    assert printed.count("The agent is at") == 1 and Agent.load(out / "run" / "agent").step == 2
    assert printed.count("step   10") == 1 and printed.count("2 process(es) trained on 320 episodes") == 1
    assert json.loads((out / "process 1" / "failures.json").read_text())["command"] == "exit 2"


def test_the_example_runs_alone(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["distributed", "--steps", "1"])
    runpy.run_path(str(ROOT / "examples" / "distributed.py"), run_name="__main__")
    assert "1 process(es) trained on 32 episodes" in capsys.readouterr().out


def test_launches_that_start_one_process_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "4")
    with pytest.raises(ValueError, match=r"4 processes were started, but.*torchrun"):
        processes.join()
    monkeypatch.delenv("OMPI_COMM_WORLD_SIZE")
    monkeypatch.setenv("ACCELERATE_USE_CPU", "True")
    with pytest.warns(UserWarning, match="one process alone"):
        processes.join()
    monkeypatch.delenv("ACCELERATE_USE_CPU")
    processes.join()
    assert (processes.count(), processes.rank(), processes.is_first(), processes.share(5)) == (1, 0, True, range(5))


def test_alone_sharding_changes_nothing() -> None:
    plain, sharded = (run(make_agent("bc"), Logged(make_episodes(18)), shard=shard)[1] for shard in (False, True))
    assert same_weights(weights(plain), weights(sharded))
