"""Locks, and folders that vanish: only one process writes at a time, and an error says if its result was lost."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from toy_agent import TOKENIZER, Toy, ToyConfig, make_episodes, make_lm, same_weights, weights

from agents import Agent, FitConfig, Logged, fit
from agents.runs.config import RunConfig
from agents.runs.run import train
from agents.training import checkpoint
from agents.training.log import read_log
from datasets_builders import EpisodeDataset, build, write_blocks
from datasets_builders.claim import Claim, Place, is_empty


def run(out: Path, steps: int = 6, **settings: Any) -> Any:
    """A training, one row of its log at a time."""
    config = FitConfig(**{"batch_size": 4, "log_every": 1, "checkpoint_every": 2, "out": out, **settings})
    return fit(Toy(make_lm(), ToyConfig()), Logged(make_episodes(18), seed=1), steps, config)


def test_one_at_a_time_by_any_path(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with Claim(tmp_path / "real") as claim:
        assert claim.held and is_empty(tmp_path / "real")
        for path in (tmp_path / "real", tmp_path / "link", tmp_path / "real" / ".." / "real"):
            with pytest.raises(FileExistsError, match=r"at work in .*real\. Wait until"):
                Claim(path)
        Claim(tmp_path / "other").release()
    claim.release()
    assert not claim.held and sorted(p.name for p in tmp_path.iterdir()) == ["link", "real"]
    (tmp_path / ".real.lock").touch()  # as a killed process leaves it
    Claim(tmp_path / "real").release()


COUNT = """
import sys
from pathlib import Path
from datasets_builders.claim import Claim
for _ in range(50):
    with Claim(sys.argv[1], wait=60):
        Path(sys.argv[1]).write_text(str(int(Path(sys.argv[1]).read_text()) + 1))
"""


def test_those_that_wait_take_turns(tmp_path: Path) -> None:
    (tmp_path / "n").write_text("0")
    command = [sys.executable, "-c", COUNT, str(tmp_path / "n")]
    counting = [subprocess.Popen(command, env={**os.environ, "PYTHONPATH": os.getcwd()}) for _ in range(3)]
    assert [process.wait() for process in counting] == [0, 0, 0]
    assert (tmp_path / "n").read_text() == "150" and len(list(tmp_path.iterdir())) == 1


def test_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    if (child := os.fork()) == 0:
        Claim(tmp_path / "x")
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    Claim(tmp_path / "x").release()
    assert not list(tmp_path.iterdir())


def test_a_second_training_in_one_folder_is_refused(tmp_path: Path) -> None:
    first = run(tmp_path / "t")
    next(first)
    with pytest.raises(FileExistsError, match="at work in"):
        next(run(tmp_path / "t"))
    rows = list(first)
    assert [row["step"] for row in read_log(tmp_path / "t")] == [1, *(row["step"] for row in rows)]
    assert list(run(tmp_path / "t")) == [] and [p.name for p in tmp_path.iterdir()] == ["t"]


def test_one_that_is_stopped_lets_go(tmp_path: Path) -> None:
    first = run(tmp_path / "t")
    next(first)
    first.close()
    assert [row["step"] for row in run(tmp_path / "t")][-1] == 6


def test_the_command_is_refused_while_another_trains(tmp_path: Path) -> None:
    build("movie-review", 20, tmp_path / "data", progress=False)
    config = RunConfig("bc", {}, {"batch_size": 4, "log_every": 1}, 3, data=str(tmp_path / "data"))
    with Claim(tmp_path / "t"), pytest.raises(FileExistsError, match="at work in"):
        train(config, tmp_path / "t")
    assert not (tmp_path / "t").exists()
    train(config, tmp_path / "t")
    assert Agent.load(tmp_path / "t" / "agent").step == 3


@pytest.mark.parametrize("anew", [False, True])
@pytest.mark.parametrize("what", ["", "metrics.jsonl"])
def test_what_is_deleted_during_a_training_is_told(tmp_path: Path, what: str, anew: bool) -> None:
    training = run(tmp_path / "t")
    next(training)
    gone = tmp_path / "t" / what
    shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    if anew:
        gone.touch() if what else gone.mkdir()
    with pytest.raises(FileNotFoundError, match=r"t/metrics\.jsonl was deleted, moved or replaced"):
        list(training)
    assert anew or not gone.exists()


def test_a_folder_that_is_deleted_after_the_last_row_is_told(tmp_path: Path) -> None:
    training = run(tmp_path / "t", steps=2)
    next(training), next(training)
    shutil.rmtree(tmp_path / "t")
    with pytest.raises(FileNotFoundError, match="deleted"):
        list(training)


def test_a_recording_that_is_deleted_is_told(tmp_path: Path) -> None:
    def block(k: int) -> Any:
        if k == 1:
            shutil.rmtree(tmp_path / "d.partial")
        return make_episodes(5)

    facts = {"format_version": 1}
    with pytest.raises(FileNotFoundError, match=r"d\.partial was deleted"):
        write_blocks(block, 20, tmp_path / "d", facts, TOKENIZER, progress=False)
    assert not list(tmp_path.iterdir())


def test_two_saves_and_exports_do_not_mix(tmp_path: Path) -> None:
    data = EpisodeDataset.from_episodes(make_episodes(20), tokenizer=TOKENIZER)
    writers = {"d": data.save, "d.jsonl": data.to_jsonl, "d.parquet": data.to_parquet}
    for name, write in writers.items():
        with Claim(tmp_path / name), pytest.raises(FileExistsError, match="at work in"):
            write(tmp_path / name)
        write(tmp_path / name)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(writers)


def full(*_: Any) -> None:
    raise Exception("I/O error: No space left on device (os error 28)")  # as safetensors says it


def test_a_full_disk_stops_a_training_that_can_be_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = list(run(tmp_path / "whole"))
    with monkeypatch.context() as patched:
        training = run(tmp_path / "t")
        [next(training) for _ in range(3)]
        patched.setattr(checkpoint, "save_file", full)
        with pytest.raises(OSError, match=r"the disk is full.*make room for .*step-000000004 and start again"):
            list(training)
    assert [p.name for p in (tmp_path / "t" / "checkpoints").iterdir()] == ["step-000000002"]
    again = list(run(tmp_path / "t"))
    assert [row["loss"] for row in again] == [row["loss"] for row in whole[2:]]


def test_a_log_that_finds_no_room_is_whole_again_after(tmp_path: Path) -> None:
    """A real failure in the middle of a line: the process may not write files of more than 200 bytes."""
    import resource

    if (child := os.fork()) == 0:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        training = run(tmp_path / "t", checkpoint_every=None)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))
        try:
            list(training)
        except OSError as error:
            os._exit(0 if "the disk is full" in str(error) else 2)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    list(run(tmp_path / "t"))
    assert [row["step"] for row in read_log(tmp_path / "t")] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("line", ["{}", '{"step": "1"}', "[" * 50_000, "\0\0\0", '{"step": 1', "\udcff"])
def test_a_damaged_log_is_told_by_its_line_and_the_run_goes_on_without_it(tmp_path: Path, line: str) -> None:
    training = run(tmp_path / "t")
    [next(training) for _ in range(3)]
    training.close()
    log = tmp_path / "t" / "metrics.jsonl"
    lines = log.read_bytes().splitlines()
    log.write_bytes(b"\n".join([lines[0], line.encode(errors="surrogateescape"), *lines[2:]]) + b"\n")
    with pytest.raises(
        ValueError, match=r"metrics\.jsonl, line 2: expected a JSON object.*Delete that line, or the file"
    ):
        list(run(tmp_path / "t"))
    log.unlink()
    assert [row["step"] for row in run(tmp_path / "t")] == [3, 4, 5, 6]


def test_a_checkpoint_of_an_earlier_version_is_gone_on_with(tmp_path: Path) -> None:
    whole = Toy(make_lm(), ToyConfig()).learn(Logged(make_episodes(18), seed=1), 6, batch_size=4, log_every=1)
    list(run(tmp_path / "t", 4, schedule_steps=6))
    newest = tmp_path / "t" / "checkpoints" / "step-000000004"
    (newest / "checksums.json").unlink()
    state = json.loads((newest / "state.json").read_text())
    (newest / "state.json").write_text(json.dumps({**state, "sha256": {"model.safetensors": "0"}}))
    agent = Toy(make_lm(), ToyConfig())
    with pytest.warns(UserWarning, match=r"has no checksums\.json"):
        agent.learn(Logged(make_episodes(18), seed=1), 6, batch_size=4, log_every=1, out=tmp_path / "t")
    assert same_weights(weights(whole), weights(agent))


@pytest.mark.parametrize("changes", [{"step": "4"}, {"window": 3}, {"run": {"fit": []}}, {"source": None}])
def test_a_checkpoints_state_with_other_values(tmp_path: Path, changes: dict[str, Any]) -> None:
    list(run(tmp_path / "t", 2))
    newest = tmp_path / "t" / "checkpoints" / "step-000000002"
    (newest / "checksums.json").unlink()
    state = json.loads((newest / "state.json").read_text())
    (newest / "state.json").write_text(json.dumps(state | changes))
    with pytest.warns(UserWarning), pytest.raises(ValueError, match=r"step-000000002 is damaged.*must be of the type"):
        list(run(tmp_path / "t"))


def test_a_place_whose_number_is_given_anew_does_not_stand(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    place = Place(tmp_path / "d")
    for _ in range(5):
        (tmp_path / "d").rmdir()
        (tmp_path / "d").mkdir()
        assert not place.stands()
    place.close()
    place.close()


def test_a_folder_whose_first_file_was_not_finished_is_empty(tmp_path):
    (tmp_path / "config.json.tmp").write_text("{")
    (tmp_path / ".x.lock").touch()
    assert is_empty(tmp_path)
    (tmp_path / "notes.txt.tmp").touch()
    assert not is_empty(tmp_path)
