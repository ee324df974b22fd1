"""What an experiment is made of: plain data, so that a run can be written down, compared and repeated."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any

# Episode i of a data set with seed s is played with the environment seed (s << 32) + i. Evaluation starts far above
# what any data seed below 2^28 can reach, and decoding options are chosen on other episodes than those reported.
REPORT_SEEDS = 1 << 62
SELECTION_SEEDS = 1 << 61
YARDSTICK_SEEDS = 1 << 60


@dataclass(frozen=True)
class Data:
    """A data set to record once and use in every cell."""

    recipe: str
    """a name in ``datasets_builders.RECIPES``"""
    episodes: int
    seed: int = 0
    options: dict[str, Any] = field(default_factory=dict)
    """passed to the recipe"""


@dataclass(frozen=True)
class Cell:
    """One line of the table: an agent with its settings, trained once per seed."""

    label: str
    agent: str
    """a name in ``agents.AGENTS``"""
    config: dict[str, Any] = field(default_factory=dict)
    """fields of the agent's configuration"""
    fit: dict[str, Any] = field(default_factory=dict)
    """``steps`` and fields of ``FitConfig``"""
    decodings: tuple[dict[str, Any], ...] = ({"greedy": True},)
    """ways to read a policy out of the model; of several, the best on the selection episodes is reported"""


@dataclass(frozen=True)
class Baseline:
    """A policy that is not trained."""

    label: str
    policy: str
    """a name in ``agents.benchmark.baselines``"""
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Experiment:
    """One data set, one environment, and the agents compared on them."""

    name: str
    title: str
    about: str
    """what is asked, and what the answer does and does not show"""
    data: Data
    env: str
    """id of the environment agents are evaluated in"""
    cells: tuple[Cell, ...]
    env_options: dict[str, Any] = field(default_factory=dict)
    lm: str = "d64-l2"
    """size of the language model, trained from scratch"""
    baselines: tuple[Baseline, ...] = ()
    normalise: tuple[str, str] | None = None
    """labels of the baselines whose returns become 0 and 1 in the normalised score"""
    episodes: int = 1024
    """evaluation episodes of each trained agent"""
    selection_episodes: int = 256
    """episodes on which a cell's decodings are compared"""
    rank_test: bool = False
    """whether to compare the values of experts' and suboptimal players' first words (``agents.rank_test``)"""
    compare_taus: tuple[float, ...] = ()
    """expectiles whose exact fixed point on the log is shown beside the rank test, with those of the cells"""
    exact_values: bool = False
    """whether the task knows its optimal values, for the learned ones to be compared with"""
    measure_every: int = 100
    """training steps between two measurements of the values"""
    yardstick_games: int = 2000
    """games played to estimate the optimal values that the rank test is shown beside"""


@dataclass(frozen=True)
class Suite:
    """Experiments that make one report."""

    name: str
    title: str
    experiments: tuple[Experiment, ...]
    seeds: int = 3
    """training runs of every cell"""

    def smoke(self) -> Suite:
        """The same suite shrunk to seconds: it shows that everything runs, and nothing else."""
        return dataclasses.replace(self, seeds=1, experiments=tuple(_shrink(e) for e in self.experiments))

    def plain(self) -> dict[str, Any]:
        """As JSON-able data."""
        return json.loads(json.dumps(dataclasses.asdict(self)))

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Suite:
        """The suite that ``plain`` described.

        Raises:
            ValueError: it describes none.
        """
        try:
            experiments = [
                {
                    **e,
                    "data": Data(**e["data"]),
                    "cells": tuple(Cell(**{**c, "decodings": tuple(c["decodings"])}) for c in e["cells"]),
                    "baselines": tuple(Baseline(**b) for b in e["baselines"]),
                    "compare_taus": tuple(e["compare_taus"]),
                    "normalise": None if e["normalise"] is None else tuple(e["normalise"]),
                }
                for e in plain["experiments"]
            ]
            return cls(**{**plain, "experiments": tuple(Experiment(**e) for e in experiments)})
        except (KeyError, TypeError) as error:
            raise ValueError(f"This is not the configuration of a benchmark: {error}.") from None


def _shrink(experiment: Experiment) -> Experiment:
    def few_words(options: dict[str, Any]) -> dict[str, Any]:
        return {**options, "words": "english-100"} if "words" in options else options

    cells = tuple(
        dataclasses.replace(c, fit={**c.fit, "steps": 4, "batch_size": 8}, decodings=c.decodings[:2])
        for c in experiment.cells
    )
    data = dataclasses.replace(experiment.data, episodes=200, options=few_words(experiment.data.options))
    return dataclasses.replace(
        experiment,
        data=data,
        cells=cells,
        env_options=few_words(experiment.env_options),
        episodes=8,
        selection_episodes=4,
        measure_every=2,
        yardstick_games=8,
    )
