"""Whether a suite can run at all, asked before anything is written: a mistake must not be found hours later."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import get_type_hints

import gymnasium as gym

from agents import AGENTS
from agents.benchmark.experiment import Cell, Experiment, Suite
from agents.benchmark.measures import MEASURES
from agents.benchmark.running.units import Unit, units
from agents.training.fit_config import FitConfig

_CONDITIONED = "decision_transformer"  # whose model has tokens of its own, and says little without them


def check(suite: Suite, out: Path) -> None:
    """Refuses names and settings that nothing has.

    Raises:
        ValueError: naming the experiment or the cell, and what is wrong with it.
    """
    for experiment in suite.experiments:
        _check_experiment(experiment)
    for unit in units(dataclasses.replace(suite, seeds=1), out):
        if isinstance(unit.part, Cell):
            _check_cell(unit, unit.part)


def _check_experiment(experiment: Experiment) -> None:
    where = f"The experiment {experiment.name!r}"
    try:
        gym.spec(experiment.env)
    except (gym.error.Error, ImportError) as error:
        raise ValueError(f"{where}: {error}") from None
    for measure in experiment.measures:
        if measure not in MEASURES:
            raise ValueError(f"{where}: there is no measure {measure!r}; choose among {', '.join(MEASURES)}.")


def _check_cell(unit: Unit, cell: Cell) -> None:
    where = f"The cell {unit.experiment.name}/{cell.label}"
    if cell.agent not in AGENTS:
        raise ValueError(f"{where}: there is no agent {cell.agent!r}; choose one of {', '.join(AGENTS)}.")
    if not cell.decodings:
        raise ValueError(f"{where} needs a decoding; {{}} is the one that its agent has of itself.")
    for use, needed in unit.needs.items():
        goes_on = use == "reference" or (use == "start" and cell.agent != _CONDITIONED)
        if goes_on and isinstance(needed.part, Cell) and needed.part.agent == _CONDITIONED:
            raise ValueError(
                f"{where} has {needed.part.label!r} as its {use}, a language model that speaks behind return tokens "
                "alone. Name one that was trained without them."
            )
    if not cell.trained:
        return
    fit = dict(cell.fit)
    if fit.pop("steps", None) is None:
        raise ValueError(f"{where}: fit must say how many steps it trains, as in fit={{'steps': 300}}.")
    try:
        get_type_hints(AGENTS[cell.agent])["config"](**cell.config)
        FitConfig(**fit)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: {error}") from None
