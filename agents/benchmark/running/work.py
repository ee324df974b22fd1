"""Works on one piece of a benchmark in its folder, and reports the reason if it fails."""

from __future__ import annotations

import dataclasses
import json
import shutil
import time
import traceback
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from agents.benchmark.experiment import Baseline, Cell, ExactLearner, Samples
from agents.benchmark.running.unit_folder import FAILURE, prepare
from agents.benchmark.running.units import Unit
from datasets_builders.atomic import write_text
from datasets_builders.claim import Place
from lang_envs.progress import part_of


class Done(NamedTuple):
    """A unit that was worked on."""

    name: str
    folder: Path
    seconds: float
    failure: str = ""
    """why it failed; empty if it is finished"""


def attempt(unit: Unit, failed: Collection[Path] = ()) -> Done:
    """Works on one unit and catches its errors; a unit that needs one of the folders in ``failed`` is not tried."""
    began = time.perf_counter()
    failure = next((f"it needs {needed.name}" for needed in unit.needs.values() if needed.folder in failed), "")
    if not failure:
        try:
            with part_of(unit.name):
                work(unit)
        except (ValueError, OSError) as error:  # expected errors, such as a loss that is not finite, or a full disk
            failure = str(error)
        except Exception as error:  # a defect; the other units still run and are reported
            unit.folder.mkdir(parents=True, exist_ok=True)
            where = unit.folder / FAILURE
            write_text(where, traceback.format_exc())
            failure = f"{type(error).__name__}: {error} ({where} has the traceback)"
    return Done(unit.name, unit.folder, time.perf_counter() - began, failure)


def work(unit: Unit) -> None:
    """Works on one unit and writes ``result.json``, whole or not at all.

    Raises:
        OSError: the folder was deleted meanwhile, or the disk is full.
        ValueError: the settings do not work, or the folder holds something else.
    """
    from transformers.utils import logging

    from agents.agent import Agent
    from agents.benchmark.running import cell as cells
    from agents.benchmark.running import exact_learners, logs

    logging.disable_progress_bar()  # transformers shows a bar for each model that is saved
    prepare(unit.folder, unit.training())
    place = Place(unit.folder)
    match unit.part:
        case Cell() as cell:
            if unit.tensorboard:
                cell = dataclasses.replace(cell, fit={**cell.fit, "tensorboard": True})
            used = (unit.data, unit.folder, unit.agents(), unit.held_out)
            result = cells.measured(unit.experiment, cell, unit.seed, *used)
        case Samples() as samples:
            speaker = Agent.load(unit.agents()["of"])
            result = logs.sampled(samples, unit.seed, speaker, unit.data, unit.recorded)
        case Baseline():
            result = cells.play_baseline(unit.experiment, unit.part)
        case ExactLearner():
            result = exact_learners.learned(unit.experiment, unit.part, unit.data)
        case None:
            result = cells.yardsticks(unit.experiment, unit.data)
    place.check()
    write_text(unit.folder / "result.json", json.dumps({"spec": unit.spec(), **result}, indent=1))
    shutil.rmtree(unit.folder / "fit" / "checkpoints", ignore_errors=True)  # no longer needed
