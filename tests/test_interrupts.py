"""An interrupted command ends soon, says how to continue, leaves no process behind, and can be continued."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from interrupted import heed_interrupts

from agents import cli
from datasets_builders import build

SOON = 6.0  # seconds; five are promised, and the machine may be busy


def interrupted(sign, number, group, *arguments):
    """Starts a command, interrupts it once ``sign`` (a pattern of files) is there, and gives its code and its words."""
    process = subprocess.Popen(
        [sys.executable, "-m", "agents.cli", *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=heed_interrupts,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    try:
        deadline = time.monotonic() + 90
        while not list(sign[0].glob(sign[1])) and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        assert process.poll() is None, process.stderr.read()
        began = time.monotonic()
        (os.killpg if group else os.kill)(process.pid, number)
        said = process.communicate(timeout=60)[1]
        assert time.monotonic() - began < SOON
        while (left := running_in(process.pid)) and time.monotonic() - began < SOON:
            time.sleep(0.05)
        assert not left
        return process.returncode, said
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def running_in(session):
    """The processes of a session; one that ended, and that nobody has asked about, does not count."""
    found = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (OSError, psutil.NoSuchProcess):
            pass
    return found


def files(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_recording(tmp_path):
    how = ["record", "movie-review", "--episodes", 30_000, "--seed", 1, "--out", tmp_path / "d"]
    code, said = interrupted((tmp_path, "d.partial/data-*.arrow"), signal.SIGTERM, False, *how)
    assert (code, said) == (
        143,
        "Interrupted: whole blocks of episodes are kept. Run the same command again to go on.\n",
    )
    assert cli.main([str(x) for x in how]) == 0
    build("movie-review", 30_000, tmp_path / "whole", seed=1, progress=False)
    assert files(tmp_path / "d") == files(tmp_path / "whole")


def test_a_training(tmp_path):
    build("movie-review", 60, tmp_path / "data", progress=False)

    def how(out, steps=200):
        data = ("--data", tmp_path / "data", "--batch-size", 8, "--decoding-episodes", 2)
        return [str(x) for x in ("train", "bc", *data, "--out", out, "--steps", steps, "--checkpoint-every", 10)]

    out = tmp_path / "run"
    code, said = interrupted((out, "checkpoints/step-*0"), signal.SIGINT, True, *how(out))
    assert code == 130 and "to go on from the newest checkpoint" in said and said.count("\n") == 1
    assert cli.main(how(out)) == cli.main(how(tmp_path / "whole")) == 0
    assert (out / "agent/model.safetensors").read_bytes() == (tmp_path / "whole/agent/model.safetensors").read_bytes()


def test_a_benchmark_with_workers(tmp_path):
    how = ("bench", "quick", "--workers", 2, "--out", tmp_path)
    code, said = interrupted((tmp_path, "cells/*/*/*/fit/metrics.jsonl"), signal.SIGINT, True, *how)
    told = "Interrupted: finished pieces and checkpoints are kept. Run the same command again to go on.\n"
    assert (code, said) == (130, told)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_command_that_does_not_let_go_is_ended(number, tmp_path):
    script = (
        "import sys, time\nfrom pathlib import Path\nfrom agents import cli\nfrom agents.cli import interrupts\n"
        "def deaf():\n    Path(sys.argv[1]).touch()\n    while True:\n        try:\n            time.sleep(9)\n"
        "        except BaseException:\n            pass\n"
        "interrupts.PATIENCE = 0.2\ncli._parse = lambda *arguments: deaf\nsys.exit(cli.main(['eval', 'x']))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, tmp_path / "x"],
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path.cwd(),
        preexec_fn=heed_interrupts,
    )
    try:
        while not (tmp_path / "x").exists():
            time.sleep(0.01)
        process.send_signal(number)
        _, said = process.communicate(timeout=20)
    finally:
        process.kill()
    assert (process.returncode, said) == (128 + number, "Interrupted: nothing is lost. Run the same command again.\n")


def test_a_command_leaves_the_signals_as_they_were(capsys):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    assert cli.main(["list"]) == 0
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
