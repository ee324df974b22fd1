"""Runs a suite: every cell in its own folder, finished cells never run twice, an interrupted run goes on where it was.

    out/config.json                    what was asked
    out/data/<recipe>-<hash>/          each data set, recorded once
    out/cells/<experiment>/<label>/<seed>/   fit/ (log, checkpoints), agent/ (the trained model), result.json
    out/results.parquet  table.md  *.png  report.html

A cell is finished when its ``result.json`` exists and was made by the same specification: it is written last, whole or
not at all. A cell whose settings were edited runs again; the others are kept.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import multiprocessing
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from agents.benchmark.experiment import Baseline, Cell, Data, Experiment, Suite

Say = Callable[[str], None]


@dataclass(frozen=True)
class Unit:
    """One piece of work, and the folder its result goes to."""

    name: str
    folder: Path
    experiment: Experiment
    data: Path
    part: Cell | Baseline | None
    """an agent, a baseline, or None for the yardsticks"""
    seed: int = 0

    def spec(self) -> dict[str, Any]:
        """Everything the result depends on, as JSON-able data."""
        shared = dataclasses.asdict(dataclasses.replace(self.experiment, cells=(), baselines=(), title="", about=""))
        if self.part is None:  # the yardsticks follow the cells' discount and expectile
            shared["settings"] = [
                [cell.config.get(name) for name in ("gamma", "tau")] for cell in self.experiment.cells
            ]
        part = dataclasses.asdict(self.part) if self.part is not None else None
        spec = {"experiment": shared, "part": part, "seed": self.seed, "data": self.data.name}
        return json.loads(json.dumps(spec))

    def result(self) -> dict[str, Any] | None:
        """The finished result, or None where there is none or it was made by other settings."""
        path = self.folder / "result.json"
        if not path.exists():
            return None
        result = json.loads(path.read_text())
        return result if result["spec"] == self.spec() else None


def data_folder(out: Path, data: Data) -> Path:
    """Where a data set is kept; data sets with different settings never share a folder."""
    text = json.dumps(dataclasses.asdict(data), sort_keys=True)
    return out / "data" / f"{data.recipe}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def units(suite: Suite, out: Path) -> list[Unit]:
    """The whole grid: the longest pieces first, so that no process is left with one at the end."""
    work = []
    for experiment in suite.experiments:
        data, folder = data_folder(out, experiment.data), out / "cells" / experiment.name
        parts: list[tuple[Cell | Baseline | None, int, str]] = [
            (cell, seed, f"{cell.label}/{seed}") for cell in experiment.cells for seed in range(suite.seeds)
        ]
        parts += [(baseline, 0, f"baselines/{baseline.label}") for baseline in experiment.baselines]
        if experiment.rank_test:
            parts.append((None, 0, "yardsticks"))
        for part, seed, path in parts:
            name = f"{experiment.name}/{path}"
            work.append(Unit(name, folder / _file_name(path), experiment, data, part, seed))
    work.sort(key=lambda unit: -(unit.part.fit.get("steps", 0) if isinstance(unit.part, Cell) else 0))
    return work


def _file_name(label: str) -> str:
    return label.replace("%", "percent-").replace(" ", "-").lower()


def run(suite: Suite, out: str | Path, workers: int = 1, command: str = "", say: Say | None = None) -> Path:
    """Runs what is missing of ``suite`` in ``out`` and writes the report.

    Args:
        suite: what to run.
        out: folder of the results; an interrupted run there is continued.
        workers: processes, one thread each; 1 works in this process. Results do not depend on it.
        command: the command line, printed under the tables.
        say: takes lines of progress; standard error by default.

    Returns:
        The path of ``report.html``.

    Raises:
        ValueError: ``out`` holds another suite, or a cell cannot run with its settings.
    """
    from agents.benchmark.report import write_report

    if min(workers, suite.seeds) < 1:
        raise ValueError(f"workers and seeds must be at least 1, got {workers} and {suite.seeds}.")
    say = say or (lambda line: print(line, file=sys.stderr, flush=True))  # noqa: T201  # progress, for a person
    out = Path(out)
    _claim(out, suite)
    began = time.perf_counter()
    for data in {data_folder(out, e.data): e.data for e in suite.experiments}.items():
        _record(*data, say)
    work = units(suite, out)
    pending = [unit for unit in work if unit.result() is None]
    if len(pending) < len(work):
        say(f"{len(work) - len(pending)} of {len(work)} pieces are finished already")
    for done, (name, seconds) in enumerate(_finish(pending, workers), 1):
        left = f"{done}/{len(pending)}"
        say(f"[{left:>7}] {name}: {seconds:.0f} s ({time.perf_counter() - began:.0f} s in all)")
    results = [(unit, unit.result()) for unit in work]
    return write_report(suite, [(u, r) for u, r in results if r is not None], out, command)


def _claim(out: Path, suite: Suite) -> None:
    """Writes down what runs here; refuses a folder that belongs to another suite."""
    path = out / "config.json"
    if path.exists() and (name := json.loads(path.read_text())["name"]) != suite.name:
        raise ValueError(f"{out} holds results of the suite {name!r}, not of {suite.name!r}. Choose another folder.")
    out.mkdir(parents=True, exist_ok=True)
    write_json(path, suite.plain())


def _record(folder: Path, data: Data, say: Say) -> None:
    """Records a data set unless it is there; an interrupted recording is continued by the recorder itself."""
    from datasets_builders import build

    if folder.exists():
        return
    began = time.perf_counter()
    build(data.recipe, episodes=data.episodes, out=folder, seed=data.seed, **data.options)
    say(f"recorded {data.episodes} episodes of {data.recipe}: {time.perf_counter() - began:.0f} s")


def _finish(pending: list[Unit], workers: int) -> Iterator[tuple[str, float]]:
    """Works through the units and yields (name, seconds) as they finish."""
    workers = min(workers, len(pending))
    if workers <= 1:
        with _one_thread():
            yield from (work(unit) for unit in pending)
        return
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    context = multiprocessing.get_context("spawn")  # a fork would copy the state of torch's threads
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker) as pool:
        futures = [pool.submit(work, unit) for unit in pending]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BrokenProcessPool:
            raise ValueError(
                "A worker process was killed, perhaps for want of memory. Finished pieces are kept: run the same "
                "command again, with fewer workers."
            ) from None
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _start_worker() -> None:
    """One thread, and no life after the parent's: a killed run must not go on beside the one that replaces it."""
    import torch

    torch.set_num_threads(1)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sums depend on how many threads share them: always one, here as in the workers."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def work(unit: Unit) -> tuple[str, float]:
    """Finishes one unit and writes its result, whole or not at all."""
    from transformers.utils import logging

    from agents.benchmark import cell as cells

    logging.disable_progress_bar()  # one bar for each small model that is saved
    began = time.perf_counter()
    if (unit.folder / "spec.json").exists() and json.loads((unit.folder / "spec.json").read_text()) != unit.spec():
        shutil.rmtree(unit.folder)  # made by other settings
    unit.folder.mkdir(parents=True, exist_ok=True)
    write_json(unit.folder / "spec.json", unit.spec())
    match unit.part:
        case Cell():
            result = cells.train(unit.experiment, unit.part, unit.seed, unit.data, unit.folder)
        case Baseline():
            result = cells.play_baseline(unit.experiment, unit.part)
        case None:
            result = cells.yardsticks(unit.experiment, unit.data)
    write_json(unit.folder / "result.json", {"spec": unit.spec(), **result})
    return unit.name, time.perf_counter() - began


def write_json(path: Path, content: Any) -> None:
    """Writes a file whole or not at all."""
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(json.dumps(content, indent=1))
    os.replace(partial, path)
