"""Tries damaged inputs in a process that may crash or hang.

The process is a fork of this one, which has imported everything. It is replaced after any failure, and after
``_EXAMPLES`` inputs.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import resource
import select
import shutil
import signal
import struct
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis.strategies import SearchStrategy
from outcome import BAD, Outcome, of_error

_EXAMPLES = 100  # tried by one process
_MEMORY = 3 * 2**30  # bytes, beside what is in use


@dataclass(frozen=True)
class Kind:
    """A kind of input: how it is made, how it is damaged, and what is done with it."""

    name: str
    prepare: Callable[[Path], Any]
    """makes sound inputs below a folder; what it returns is passed to the other two"""
    damages: Callable[[Any], SearchStrategy[Any]]
    attempt: Callable[[Any, Any, Path], Outcome]
    """damages a copy in an empty folder, uses it and compares; may raise"""
    always: Callable[[Any], Iterable[Any]] = lambda world: ()
    """damage that is tried in every run, before what is drawn"""
    names_folder: bool = True
    """whether an error must name the folder that the input lies in, or else come from a ``raise`` of the project"""
    seconds: float = 30
    """after which it hangs"""


class Worker:
    """Tries inputs of one kind, one after another, each in an empty folder of its own."""

    def __init__(self, kind: Kind, world: Any, folder: Path) -> None:
        self.kind, self.world, self.folder = kind, world, folder
        self._pid, self._tried, self._left = 0, 0, 0

    def attempt(self, damage: Any) -> Outcome:
        """What becomes of an input with this damage."""
        if not self._left:
            self._start()
        self._tried, self._left = self._tried + 1, self._left - 1
        case = self.folder / f"case-{self._tried}"
        case.mkdir()
        asked = pickle.dumps((damage, case))
        os.write(self._ask, struct.pack("<Q", len(asked)) + asked)
        answer = self._read(self.kind.seconds)
        if answer is None:
            outcome = Outcome("hang", f"not done after {self.kind.seconds:g} s")
        elif not answer:
            outcome = Outcome("crash", f"signal {self._stop() & 127}")
        else:
            outcome = Outcome(*pickle.loads(answer))
        if outcome.kind in BAD or not self._left:
            self.close()
        shutil.rmtree(case, ignore_errors=True)
        return outcome

    def close(self) -> None:
        """Ends the worker's process, and those it started."""
        self._left = 0
        self._stop()

    def _start(self) -> None:
        (theirs_in, self._ask), (self._answer, theirs_out) = os.pipe(), os.pipe()
        sys.stdout.flush()
        self._pid, self._left = os.fork(), _EXAMPLES
        if not self._pid:
            try:
                os.close(self._ask)
                os.close(self._answer)
                self._work(theirs_in, theirs_out)
            finally:
                os._exit(0)
        os.close(theirs_in)
        os.close(theirs_out)

    def _stop(self) -> int:
        """The status of the process, which is ended if need be."""
        if not self._pid:
            return 0
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._pid, signal.SIGKILL) if self._running() else None
        _, status = os.waitpid(self._pid, 0)
        self._pid, self._left = 0, 0
        os.close(self._ask)
        os.close(self._answer)
        return status

    def _running(self) -> bool:
        return os.waitid(os.P_PID, self._pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

    def _read(self, seconds: float) -> bytes | None:
        """The answer; empty where the process ended without one, None where none comes in time."""
        answer, deadline = b"", time.monotonic() + seconds
        while len(answer) < 8 or len(answer) < 8 + struct.unpack("<Q", answer[:8])[0]:
            ready, _, _ = select.select([self._answer], [], [], max(0, deadline - time.monotonic()))
            if not ready:
                return None
            chunk = os.read(self._answer, 2**16)
            if not chunk:
                time.sleep(0.05)  # the pipe closes before the process has ended
                return b""
            answer += chunk
        return answer[8:]

    def _work(self, ask: int, answer: int) -> None:
        os.setpgid(0, 0)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        limit = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() + _MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        typed = tempfile.TemporaryFile()  # noqa: SIM115  # open as long as the process lives
        typed.write(b"y\n" * 1000)  # whatever is asked at the terminal is agreed to
        typed.seek(0)
        os.dup2(typed.fileno(), 0)
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, 1)
        os.dup2(nothing, 2)
        sys.stdin = open(0, closefd=False)  # noqa: SIM115
        with open(ask, "rb") as asks:
            while head := asks.read(8):
                damage, case = pickle.loads(asks.read(struct.unpack("<Q", head)[0]))
                outcome = self._outcome(damage, case)
                told = pickle.dumps((outcome.kind, outcome.why[:600], outcome.place))
                os.write(answer, struct.pack("<Q", len(told)) + told)

    def _outcome(self, damage: Any, case: Path) -> Outcome:
        try:
            return self.kind.attempt(self.world, damage, case)
        except BaseException as error:
            return of_error(error, case.name if self.kind.names_folder else None)
