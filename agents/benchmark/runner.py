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
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agents.benchmark.experiment import Baseline, Cell, Data, Experiment, Suite

Say = Callable[[str], None]
EXECUTORS = ("processes", "ray")


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
    needs: dict[str, Unit] = field(default_factory=dict)
    """pieces whose trained agents this one uses, by what for: ``start``, ``candidates_from``, ``reference``"""
    held_out: Path | None = None
    """logs that no agent learns from, where the experiment has any"""
    tensorboard: bool = False
    """whether the training is logged for TensorBoard too; the result does not depend on it"""

    @property
    def wave(self) -> int:
        """How many pieces must come before it, one after another."""
        return max((1 + unit.wave for unit in self.needs.values()), default=0)

    def agents(self) -> dict[str, Path]:
        """The folders of the agents it uses."""
        return {use: unit.folder / "agent" for use, unit in self.needs.items()}

    def spec(self) -> dict[str, Any]:
        """Everything the result depends on, as JSON-able data."""
        shared = dataclasses.asdict(dataclasses.replace(self.experiment, cells=(), baselines=(), title="", about=""))
        if self.part is None:  # the yardsticks follow the cells' discount and expectile
            shared["settings"] = [
                [cell.config.get(name) for name in ("gamma", "tau")] for cell in self.experiment.cells
            ]
        part = dataclasses.asdict(self.part) if self.part is not None else None
        spec = {"experiment": shared, "part": part, "seed": self.seed, "data": self.data.name}
        if self.needs:  # who starts from what was trained anew is trained anew
            spec["needs"] = {use: unit.spec() for use, unit in self.needs.items()}
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
    work: list[Unit] = []
    for experiment in suite.experiments:
        data, folder = data_folder(out, experiment.data), out / "cells" / experiment.name
        for seed in range(suite.seeds):
            work += _trained(experiment, seed, out)
        parts: list[tuple[Baseline | None, str]] = [(b, f"baselines/{b.label}") for b in experiment.baselines]
        parts += [(None, "yardsticks")] if experiment.rank_test else []
        work += [Unit(f"{experiment.name}/{path}", folder / _file_name(path), experiment, data, p) for p, path in parts]
    work.sort(key=lambda unit: -(unit.part.fit.get("steps", 0) if isinstance(unit.part, Cell) else 0))
    return work


def _trained(experiment: Experiment, seed: int, out: Path) -> list[Unit]:
    """The experiment's cells with one training seed.

    Raises:
        ValueError: a cell uses one that is not there, or that uses it in turn.
    """
    cells, made = {cell.label: cell for cell in experiment.cells}, dict[str, Unit]()

    def make(label: str, users: tuple[str, ...]) -> Unit:
        if label not in cells or label in users:
            raise ValueError(
                f"{users[-1]!r} in {experiment.name} needs the cell {label!r}, "
                + ("which needs it in turn." if label in users else f"but there are only {', '.join(cells)}.")
            )
        if label not in made:
            cell, path = cells[label], f"{label}/{seed}"
            uses = {"start": cell.start, "candidates_from": cell.candidates_from}
            if experiment.reference != label:  # which is not measured against itself
                uses["reference"] = experiment.reference
            needs = {use: make(other, (*users, label)) for use, other in uses.items() if other is not None}
            data = data_folder(out, cell.data or experiment.data)
            folder = out / "cells" / experiment.name / _file_name(path)
            kept_away = data_folder(out, experiment.held_out) if experiment.held_out else None
            made[label] = Unit(f"{experiment.name}/{path}", folder, experiment, data, cell, seed, needs, kept_away)
        return made[label]

    return [make(label, ()) for label in cells]


def _file_name(label: str) -> str:
    return label.replace("%", "percent-").replace(" ", "-").lower()


def run(
    suite: Suite,
    out: str | Path,
    workers: int = 1,
    command: str = "",
    say: Say | None = None,
    executor: str = "processes",
    tensorboard: bool = False,
) -> Path:
    """Runs what is missing of ``suite`` in ``out`` and writes the report.

    Args:
        suite: what to run.
        out: folder of the results; an interrupted run there is continued.
        workers: processes, one thread each; 1 works in this process. Results do not depend on it.
        command: the command line, printed under the tables.
        say: takes lines of progress; standard error by default.
        executor: ``processes`` of this machine, or ``ray`` for those of a cluster (``ray_executor``).
        tensorboard: log every training for TensorBoard too, in the ``fit/tensorboard`` of its folder.

    Returns:
        The path of ``report.html``.

    Raises:
        ValueError: ``out`` holds another suite, a cell cannot run with its settings, or there is no such executor.
    """
    from agents.benchmark.report import write_report

    if min(workers, suite.seeds) < 1:
        raise ValueError(f"workers and seeds must be at least 1, got {workers} and {suite.seeds}.")
    if executor not in EXECUTORS:
        raise ValueError(f"There is no executor {executor!r}; choose one of {', '.join(EXECUTORS)}.")
    say = say or (lambda line: print(line, file=sys.stderr, flush=True))  # noqa: T201  # progress, for a person
    out = Path(out)
    _claim(out, suite)
    began = time.perf_counter()
    for folder, data in _logs(suite, out).items():
        _record(folder, data, say)
    work = units(suite, out)
    pending = [dataclasses.replace(unit, tensorboard=tensorboard) for unit in work if unit.result() is None]
    if len(pending) < len(work):
        say(f"{len(work) - len(pending)} of {len(work)} pieces are finished already")
    pending.sort(key=lambda unit: unit.wave)  # each after those it needs, the longest of a wave still first
    for done, (name, seconds) in enumerate(_finish(pending, workers, executor), 1):
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


def _logs(suite: Suite, out: Path) -> dict[Path, Data]:
    """Every data set of the suite, by its folder."""
    used = [data for e in suite.experiments for data in (e.data, e.held_out, *(cell.data for cell in e.cells))]
    return {data_folder(out, data): data for data in used if data is not None}


def _record(folder: Path, data: Data, say: Say) -> None:
    """Records a data set unless it is there; an interrupted recording is continued by the recorder itself."""
    from datasets_builders import build

    if folder.exists():
        return
    began = time.perf_counter()
    build(data.recipe, episodes=data.episodes, out=folder, seed=data.seed, **data.options)
    say(f"recorded {data.episodes} episodes of {data.recipe}: {time.perf_counter() - began:.0f} s")


def _finish(pending: list[Unit], workers: int, executor: str) -> Iterator[tuple[str, float]]:
    """Works through the units, each after those it needs, and yields (name, seconds) as they finish."""
    if executor == "ray":
        from agents.benchmark.ray_executor import finish
    else:
        from agents.benchmark.process_executor import finish
    return finish(pending, workers)


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
        case Cell() as cell:
            if unit.tensorboard:
                cell = dataclasses.replace(cell, fit={**cell.fit, "tensorboard": True})
            used = (unit.data, unit.folder, unit.agents(), unit.held_out)
            result = cells.train(unit.experiment, cell, unit.seed, *used)
        case Baseline():
            result = cells.play_baseline(unit.experiment, unit.part)
        case None:
            result = cells.yardsticks(unit.experiment, unit.data)
    write_json(unit.folder / "result.json", {"spec": unit.spec(), **result})
    shutil.rmtree(unit.folder / "fit" / "checkpoints", ignore_errors=True)  # what it could have gone on from
    return unit.name, time.perf_counter() - began


def write_json(path: Path, content: Any) -> None:
    """Writes a file whole or not at all."""
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(json.dumps(content, indent=1))
    os.replace(partial, path)
