"""Runs a suite: every cell in its own folder. Finished cells do not run again, and an interrupted run is continued.

    out/config.json                    the suite
    out/data/<recipe>-<hash>/          each data set, recorded once
    out/cells/<experiment>/<label>/<seed>/   fit/ (log, checkpoints), agent/ (the trained model), result.json (measured)
    out/cells/<experiment>/samples-of-<label>-<hash>/<seed>/   logs/ (samples of a trained cell)
    out/results.parquet  table.md  *.png  report.html

A cell is finished when its ``result.json`` exists and has the same specification. That file is written last, whole or
not at all. A cell whose settings were edited runs again. It is trained again only if the training depends on these
settings. If a cell fails, for example by a loss that is not finite, only the cells that need it cannot run; the report
names them.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from agents.benchmark.experiment import Suite
from agents.benchmark.running.units import Unit, recorded_data, units
from agents.benchmark.running.work import Done
from datasets_builders.atomic import read_object, write_text
from datasets_builders.claim import Claim, Place, is_empty
from lang_envs.printable import printable

Say = Callable[[str], None]
MOST_SEEDS = 1000
EXECUTORS = ("processes", "ray")


def run(
    suite: Suite,
    out: str | Path,
    workers: int = 1,
    command: str = "",
    say: Say | None = None,
    executor: str = "processes",
    tensorboard: bool = False,
) -> Path:
    """Runs the unfinished cells of ``suite`` in ``out`` and writes the report.

    Args:
        suite: the suite.
        out: folder of the results; an interrupted run there is continued.
        workers: number of processes with one thread each; with 1 the cells run in this process. Results do not depend
            on it.
        command: the command line, printed under the tables.
        say: takes lines of progress; by default they go to standard error.
        executor: ``processes`` of this machine, or ``ray`` for a cluster (``ray_executor``).
        tensorboard: also log every training for TensorBoard, in ``fit/tensorboard`` of its folder.

    Returns:
        The path of ``report.html``.

    Raises:
        OSError: another run is at work in ``out``, or ``out`` was deleted meanwhile.
        ValueError: the suite has unknown names or wrong settings, ``out`` holds something else or a link that leads out
            of it, there is no such executor, or cells failed. In the last case the report of the others is written
            first.
    """
    if min(workers, suite.seeds) < 1:
        raise ValueError(f"workers and seeds must be at least 1, got {workers} and {suite.seeds}.")
    if suite.seeds > MOST_SEEDS:
        raise ValueError(f"seeds are training runs of every cell, at most {MOST_SEEDS} of them, not {suite.seeds}.")
    if executor not in EXECUTORS:
        raise ValueError(f"There is no executor {executor!r}; choose one of {', '.join(EXECUTORS)}.")
    from agents.benchmark.running.check import check
    from agents.benchmark.running.unit_folder import check_links

    say = say or (lambda line: print(printable(line), file=sys.stderr, flush=True))  # noqa: T201  # progress, for a person
    out = Path(out)
    check(suite, out)
    check_links(out)
    with _claimed(out, suite) as place:
        return _run(suite, place, workers, command, say, executor, tensorboard)


def _run(suite: Suite, place: Place, workers: int, command: str, say: Say, executor: str, tensorboard: bool) -> Path:
    """The work of ``run``, in a folder that this run has claimed."""
    from agents.benchmark.report.report import write_report
    from agents.benchmark.running.logs import record

    began, out = time.perf_counter(), place.path
    for folder, data in recorded_data(suite, out).items():
        record(folder, data, say)
    work = units(suite, out)
    pending = [dataclasses.replace(unit, tensorboard=tensorboard) for unit in work if unit.result() is None]
    if len(pending) < len(work):
        say(f"{len(work) - len(pending)} of {len(work)} pieces are finished already")
    failures: dict[str, str] = {}
    with closing(_finish(pending, workers, executor)) as worked:  # so that no worker survives an interrupt
        for count, done in enumerate(worked, 1):
            left = f"{count}/{len(pending)}"
            say(f"[{left:>7}] {done.name}: {done.seconds:.0f} s ({time.perf_counter() - began:.0f} s in all)")
            if done.failure:
                failures[done.name] = done.failure
                say(f"          {done.name} failed: {done.failure}")
    place.check()
    results = [(unit, unit.result()) for unit in work]
    report = write_report(suite, [(u, r) for u, r in results if r is not None], out, command, failures)
    if failures:
        told = " ".join(f"{name}: {why}" for name, why in failures.items())
        raise ValueError(f"{len(failures)} of {len(work)} pieces failed; {report} shows the others. {told}")
    return report


@contextmanager
def _claimed(out: Path, suite: Suite) -> Iterator[Place]:
    """Claims the folder and writes ``config.json``; refuses a folder of another suite, or one that another run uses."""
    with Claim(out):
        path = out / "config.json"
        if path.exists() and (name := read_object(path).get("name")) != suite.name:
            of = "something else than results" if name is None else f"results of the suite {name!r}"
            raise ValueError(f"{out} holds {of}, not those of {suite.name!r}. Choose another folder.")
        if out.exists() and not path.exists() and not is_empty(out):
            raise ValueError(f"{out} is not empty and holds no results. Choose another folder.")
        out.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(suite.plain(), indent=1))
        place = Place(out)
        try:
            yield place
        finally:
            place.close()


def _finish(pending: list[Unit], workers: int, executor: str) -> Generator[Done]:
    """Works through the units, each after those it needs, and yields each as it finishes or fails."""
    if executor == "ray":
        from agents.benchmark.running.ray_executor import finish
    else:
        from agents.benchmark.running.process_executor import finish
    return finish(pending, workers)
