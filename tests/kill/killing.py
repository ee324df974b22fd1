"""Kills a job at random moments, continues it, and compares its result with that of an uninterrupted job.

Every run of a job is a fork of this process, which has imported everything. A moment is a random time, or the instant
before one of the job's changes to the file system (making, opening for writing, renaming, removing). Random times
seldom hit these instants.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import random
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate"}
_MOST_KILLS = 3  # of one job before it may come to its end
_GRACE = 5.0  # seconds in which the processes of a killed job must be gone


@dataclass(frozen=True)
class Job:
    """Something that writes into a folder, and that is asked for again after a kill."""

    kind: str
    run: Callable[[Path], None]
    """does it in the folder, or what is left of it"""
    contents: Callable[[Path], Any]
    """of the folder when it is done; equal for equal results"""
    prepare: Callable[[Path], None] = lambda folder: None
    """what lies in the folder before"""
    seen: Callable[[Path], Any] = lambda folder: None
    """what a reader sees in the folder after a kill; must be what was there before or what is there in the end"""


@dataclass
class Tally:
    """What became of the jobs of a kind."""

    kind: str
    kills: int = 0
    equal: int = 0
    """jobs that went on to the same result"""
    lost: list[str] = field(default_factory=list)
    """what could not be read, or did not go on, after a kill"""
    different: list[str] = field(default_factory=list)
    """what went on to another result"""
    left: list[str] = field(default_factory=list)
    """processes that outlived the job"""

    def __bool__(self) -> bool:
        return bool(self.lost or self.different or self.left)

    def add(self, other: Tally) -> None:
        """Counts another one's."""
        self.kills, self.equal = self.kills + other.kills, self.equal + other.equal
        self.lost, self.different = self.lost + other.lost, self.different + other.different
        self.left = self.left + other.left


def killed(job: Job, kills: int, folder: Path, seed: int) -> Tally:
    """Runs a job until it was killed so often, each time to its end at last.

    The folder of the job has the same path every time: results may hold it.
    """
    rng, tally, place = random.Random(seed), Tally(job.kind), folder / "work"
    _prepared(job, place)
    before = inside(lambda: job.seen(place))
    began = time.monotonic()
    log, changes = folder / "log", folder / "changes"
    status = _wait(_start(job, place, log, counted=changes))
    seconds = time.monotonic() - began
    if status:
        raise RuntimeError(f"{job.kind}: the uninterrupted job fails: {log.read_text()[-2000:]}")
    many = int(changes.read_text())
    wanted, after = inside(lambda: job.contents(place)), inside(lambda: job.seen(place))
    places = list[int]()  # each change once, before any of them again
    finished = 0
    while tally.kills < kills:
        _prepared(job, place)
        log.unlink(missing_ok=True)
        moments = []
        for _ in range(rng.randint(1, _MOST_KILLS)):
            if many and rng.random() < 0.6:
                places = places or rng.sample(range(many), many)
                moment: tuple[str, float] = ("change", places.pop())
            else:
                moment = ("time", rng.uniform(0, seconds))
            status = _kill(job, place, log, moment, tally)
            if status != -signal.SIGKILL:  # it was done before, or failed
                break
            moments.append(f"{moment[0]} {moment[1]:.3g}")
            if complaint := _unseen(job, place, before, after):
                tally.lost.append(f"after {moments} of {many}: {complaint}")
        if status == -signal.SIGKILL:
            status = _wait(_start(job, place, log))
        if status:
            tally.lost.append(f"after {moments} of {many} it does not go on: {_last(log)}")
        elif (found := inside(lambda: job.contents(place))) != wanted:
            tally.different.append(f"after {moments} of {many}: {_difference(found, wanted)}")
        else:
            tally.equal += 1
        finished += 1
        if finished > 10 * kills:
            raise RuntimeError(f"{job.kind}: ends before it can be killed")
    return tally


def inside(function: Callable[[], Any]) -> Any:
    """What a function returns in a fork of this process, which thus stays as it is; an error comes back as text."""
    receive, send = os.pipe()
    child = os.fork()
    if not child:
        os.close(receive)
        _quietly(Path(os.devnull))
        try:
            told = pickle.dumps((True, function()))
        except BaseException as error:
            told = pickle.dumps((False, f"{type(error).__name__}: {error}"))
        with open(send, "wb") as pipe:
            pipe.write(told)
        os._exit(0)
    os.close(send)
    with open(receive, "rb") as pipe:
        good, value = pickle.loads(pipe.read())
    os.waitpid(child, 0)
    return value if good else Unreadable(value)


class Unreadable(str):
    """The error of who tried to read."""


def _prepared(job: Job, place: Path) -> None:
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    inside(lambda: job.prepare(place))


def _unseen(job: Job, place: Path, before: Any, after: Any) -> str:
    """What is wrong with what a reader sees: neither the old nor the new."""
    seen = inside(lambda: job.seen(place))
    if seen in (before, after) and not isinstance(seen, Unreadable):
        return ""
    return f"a reader sees {str(seen)[:300]} in {sorted(path.name for path in place.iterdir())}"


def _last(log: Path) -> str:
    """The last line of an output, which says why."""
    return log.read_text().strip().rpartition("\n")[2] or "it says nothing"


def _difference(found: Any, wanted: Any) -> str:
    if isinstance(found, dict) and isinstance(wanted, dict):
        return f"differs in {sorted(name for name in found.keys() | wanted if found.get(name) != wanted.get(name))[:8]}"
    return f"{str(found)[:200]} for {str(wanted)[:200]}"


# Processes


def _start(job: Job, place: Path, log: Path, counted: Path | None = None, stop_before: int | None = None) -> int:
    """The job in a fork and a session of its own."""
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    os.setsid()
    _quietly(log)
    changes = [0]

    def count(event: str, arguments: tuple[Any, ...]) -> None:
        if event in _CHANGES or (event == "open" and _writes(arguments)):
            if changes[0] == stop_before:
                os.kill(os.getpid(), signal.SIGKILL)
            changes[0] += 1

    sys.addaudithook(count)
    status = 1
    try:
        job.run(place)
        status = 0
    except BaseException:
        traceback.print_exc()
    if counted is not None:
        counted.write_text(str(changes[0]))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _writes(arguments: tuple[Any, ...]) -> bool:
    _, mode, flags = arguments
    if isinstance(mode, str):
        return any(letter in mode for letter in "wax+")
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


def _quietly(log: Path) -> None:
    """Output goes to a file."""
    written, nothing = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND), os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(written, 1)
    os.dup2(written, 2)
    sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115


def _kill(job: Job, place: Path, log: Path, moment: tuple[str, float], tally: Tally) -> int:
    """Starts the job and kills it, if it is not done before; its status."""
    child = _start(job, place, log, stop_before=int(moment[1]) if moment[0] == "change" else None)
    if moment[0] == "time":
        deadline = time.monotonic() + moment[1]
        while time.monotonic() < deadline and _running(child):
            time.sleep(min(0.005, max(0, deadline - time.monotonic())))
        if _running(child):
            os.kill(child, signal.SIGKILL)  # it alone, as when memory is short: the others must notice
    status = _wait(child)
    if status == -signal.SIGKILL:
        tally.kills += 1
    deadline = time.monotonic() + _GRACE
    while (others := _of_session(child)) and time.monotonic() < deadline:
        time.sleep(0.02)
    if others:
        tally.left.append(f"{len(others)} after {moment[0]} {moment[1]:.3g}: {sorted(others.values())}")
        for other in others:
            with contextlib.suppress(ProcessLookupError):
                os.kill(other, signal.SIGKILL)
    return status


def _running(child: int) -> bool:
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None


def _wait(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _of_session(session: int) -> dict[int, str]:
    """The living processes of a session, each with its command line."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # it ended meanwhile
                state, _, _, its_session = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
                if int(its_session) == session and state not in "ZX":
                    found[int(entry.name)] = (entry / "cmdline").read_text().replace("\0", " ")[:80]
    return found


def table(tallies: list[Tally]) -> str:
    """A line for each kind, as Markdown."""
    lines = [
        "| job | kills | jobs that went on to the same | lost | different | processes left |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for tally in tallies:
        counts = (tally.kills, tally.equal, len(tally.lost), len(tally.different), len(tally.left))
        lines.append(f"| {tally.kind} | {' | '.join(map(str, counts))} |")
    return "\n".join(lines)
