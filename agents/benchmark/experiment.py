"""What an experiment is made of: plain data, so that a run can be written down, compared and repeated."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any, Literal

from agents.benchmark.data import Data, Samples, file_name
from agents.models.sizes import SIZES
from lang_envs.file_names import component, folded


@dataclass(frozen=True)
class Cell:
    """One line of the table: an agent with its settings, trained once per seed."""

    label: str
    agent: str
    """a name in ``agents.AGENTS``, or "module:Class", or what an installed package offers"""
    config: dict[str, Any] = field(default_factory=dict)
    """fields of the agent's configuration"""
    fit: dict[str, Any] = field(default_factory=dict)
    """``steps`` and fields of ``FitConfig``"""
    decodings: tuple[dict[str, Any], ...] = ({"greedy": True},)
    """ways to read a policy out of the model, see ``evaluate.decoded``; the best greedy and the best sampled one on the
    selection episodes are reported (``protocols``), and the better of the two is measured"""
    start: str | None = None
    """label of the cell whose trained language model this one starts from, seed by seed; ``experiment/label`` for one
    of another experiment; None: the experiment's own, from scratch or as it was trained elsewhere"""
    trained: bool = True
    """whether there is anything to train; if not, it is the agent of ``start`` that plays, decoded in another way, or
    a language model that was trained elsewhere, as it is"""
    candidates_from: str | None = None
    """label of the cell whose agent proposes what a decoding ranks; None: the agent itself"""
    data: Data | Samples | None = None
    """logs to learn from in the place of the experiment's"""
    first: int | None = None
    """learn from so many episodes only, the first ones of the logs; None: all"""
    live: float = 0.0
    """share of the episodes that are played live, in the environment of the logs"""
    group: str = ""
    """what several cells are settings of, where their spread is looked at"""
    line: str = ""
    """the line it is a point of, in the picture over what its experiment varies; without one it is drawn as a level"""
    at: float = 0.0
    """its place on that line"""


@dataclass(frozen=True)
class Baseline:
    """A policy that is not trained."""

    label: str
    policy: str
    """a name in ``agents.benchmark.baselines``, or "module:Name", or what an installed package offers: what makes a
    policy when it is called with the environment and the options"""
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ExactLearner:
    """A method as a table with an entry for every state of the log, in a task with few and known states.

    These tasks are Wordle and ServiceDesk (``agents.benchmark.running.exact_learners``). The report shows them with the
    agents. Their returns show how much can be gained from the log, before any model is trained.

    Raises:
        ValueError: a setting that cannot be meant.
    """

    label: str
    method: Literal["bc", "sarsa", "monte_carlo", "ilql"]
    keep_top: float = 1.0
    """fraction of the logged episodes that it learns from, best returns first; among equal ones the earlier"""
    tau: float = 0.7
    """expectile of ILQL's values"""
    gamma: float = 0.99
    """discount per token of the agent; of ServiceDesk, where it learns acts, per turn"""
    backup: Literal["token", "utterance"] | float = "token"
    """how far a target of SARSA or ILQL looks ahead (``agents.value_learning``)"""
    weights: tuple[float, ...] = (0.0, 2.0, 8.0, 16.0, 32.0)
    """weights of the advantage that are tried; those without values are decoded with a weight of 0"""
    top_p: tuple[float, ...] = (1.0, 0.95, 0.8, 0.5)
    """what is tried of the language model's probability where tokens are sampled"""

    def __post_init__(self) -> None:
        for name in ("keep_top", "tau", "gamma"):
            if not 0 < (value := getattr(self, name)) <= 1 or (name == "tau" and value == 1):
                raise ValueError(f"{name} of the exact learner {self.label!r} must lie between 0 and 1, not {value}.")
        if not self.weights or not self.top_p or not all(0 < p <= 1 for p in self.top_p):
            raise ValueError(
                f"the exact learner {self.label!r} needs weights and probabilities top_p above 0, at most 1; got "
                f"{self.weights} and {self.top_p}."
            )


@dataclass(frozen=True)
class Elsewhere:
    """Another environment, with the same tokens, in which the trained agents are measured too."""

    label: str
    env: str
    options: dict[str, Any] = field(default_factory=dict)
    measures: tuple[str, ...] = ()
    """what is measured there beside returns and success, names in ``agents.benchmark.measures.MEASURES``"""


@dataclass(frozen=True)
class Experiment:
    """One data set, one environment, and the agents compared on them.

    Raises:
        ValueError: two cells have one place on a line, or a name cannot be that of a file.
    """

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
    """the language model: a size to train from scratch (``agents.models.sizes``), or one that was trained elsewhere:
    ``smollm2``, a folder, a GGUF file, a name on the hub. All environments and logs are then in its tokens"""
    lora: dict[str, Any] | None = None
    """settings of ``LoRAConfig``: train adapters of a model that was trained elsewhere; None: its own weights"""
    dtype: Literal["fp32", "bf16"] = "fp32"
    """of a model that was trained elsewhere"""
    markup: str = ""
    """how conversations are written (``lang_envs.adoption.set_markup``); empty: as the tokenizer says"""
    baselines: tuple[Baseline, ...] = ()
    exact: tuple[ExactLearner, ...] = ()
    """learners without generalisation that the agents are shown beside"""
    normalise: tuple[str | float, ...] | None = None
    """what becomes 0 and 1 in the normalised score: labels of baselines, whose returns count, or returns. Of three the
    second becomes 1/2, and the score is linear on either side of it"""
    published: dict[str, float] = field(default_factory=dict)
    """returns that others report of the same task, by the name of their method: shown below our own"""
    episodes: int = 1024
    """evaluation episodes of each trained agent that samples; one that is greedy plays each context once"""
    selection_episodes: int = 256
    """episodes on which a cell's decodings, and the settings of a group, are compared"""
    split_starts: bool = True
    """whether the starting points that decodings are chosen by are left out of the report; not where all of them are
    the task, as the cells of a maze are"""
    selection_options: dict[str, Any] | None = None
    """options of the environment of those episodes, such as another split; None: as for the report, and the contexts
    are split between the two (``starts``)"""
    rank_test: bool = False
    """whether to compare the values of experts' and others' first words (``agents.evaluation.rank_test``)"""
    compare_taus: tuple[float, ...] = ()
    """expectiles whose exact fixed point on the log is shown beside the rank test, with those of the cells"""
    held_out: Data | None = None
    """logs that no agent learns from, for off-policy estimates"""
    measures: tuple[str, ...] = ()
    """what else is measured of the reported episodes, names in ``agents.benchmark.measures.MEASURES``"""
    best_of: int = 1
    """report also the best return of 1, 2 .. so many episodes from the same start, the first as decoded, the others
    sampled"""
    reference: str | None = None
    """label of the cell whose language model perplexity and divergence are measured under"""
    elsewhere: tuple[Elsewhere, ...] = ()
    """other environments to measure the agents in"""
    exact_values: bool = False
    """whether the task knows its optimal values, for the learned ones to be compared with"""
    advantage_quality: bool = False
    """whether the order of learned advantages is held against known ones during training, in a task that knows its
    own (``agents.evaluation.known_values``)"""
    advantage_states: int = 0
    """in how many states the order of learned advantages is held against what was earned by playing on from there
    (``agents.evaluation.played_values``); 0: in none"""
    measure_every: int = 100
    """training steps between two measurements of the values"""
    yardstick_games: int = 2000
    """games played to estimate the optimal values that the rank test is shown beside"""
    seeds: int | None = None
    """training runs of its cells, where they are fewer than the suite's; None: as many"""
    varies: str = ""
    """what differs along the ``line`` of its cells, in words; empty: there is no such picture"""

    def __post_init__(self) -> None:
        self._speak_as_the_model()
        component(self.name, "the name of an experiment")
        for kind, parts in (("cell", self.cells), ("baseline", self.baselines), ("exact learner", self.exact)):
            for part in parts:
                where = f"the experiment {self.name!r}, the label of a {kind}"
                component(part.label, where)
                component(folder_name(part.label), where)
        for data in (self.data, self.held_out, *(cell.data for cell in self.cells)):
            if isinstance(data, Data) and data.recipe:
                component(file_name(data.recipe), f"the experiment {self.name!r}, the recipe of its data")
        places = [(cell.line, cell.at) for cell in self.cells if cell.line]
        if twice := next((place for place in places if places.count(place) > 1), None):
            raise ValueError(f"{self.name!r} has two cells on the line {twice[0]!r} at {twice[1]}; give each its at=.")

    @property
    def pretrained(self) -> bool:
        """Whether its language model was trained elsewhere."""
        return self.lm not in SIZES

    def _speak_as_the_model(self) -> None:
        """Makes every environment and every log of it one in the model's tokens."""
        spoken = {"tokenizer": self.lm} if self.pretrained else {}
        spoken |= {"markup": self.markup} if self.markup else {}
        if not spoken:
            return

        def logs(data: Any) -> Any:
            recorded = isinstance(data, Data) and data.recipe
            return dataclasses.replace(data, options=spoken | data.options) if recorded else data

        own: dict[str, Any] = {
            "env_options": spoken | self.env_options,
            "selection_options": None if self.selection_options is None else spoken | self.selection_options,
            "elsewhere": tuple(dataclasses.replace(e, options=spoken | e.options) for e in self.elsewhere),
            "data": logs(self.data),
            "held_out": logs(self.held_out),
            "cells": tuple(dataclasses.replace(cell, data=logs(cell.data)) for cell in self.cells),
        }
        for name, value in own.items():
            object.__setattr__(self, name, value)


def plain(part: Any) -> dict[str, Any]:
    """A part of a suite as JSON-able data; of data that a recipe makes, without their empty path."""

    def fields(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        return {name: value for name, value in pairs if (name, value) != ("path", "")}

    return json.loads(json.dumps(dataclasses.asdict(part, dict_factory=fields)))


def folder_name(label: str) -> str:
    """What the folder of a cell or a baseline with that label is called."""
    return label.replace("%", "percent-").replace(" ", "-").lower()


@dataclass(frozen=True)
class Suite:
    """Experiments that make one report.

    Raises:
        ValueError: two experiments have one name.
    """

    name: str
    title: str
    experiments: tuple[Experiment, ...]
    seeds: int = 3
    """training runs of every cell"""

    def __post_init__(self) -> None:
        names = [folded(experiment.name) for experiment in self.experiments]
        if twice := next((e.name for e in self.experiments if names.count(folded(e.name)) > 1), None):
            raise ValueError(f"{self.name!r} has two experiments that are called {twice!r}: name them apart.")

    def only(self, *names: str) -> Suite:
        """The same suite with some of its experiments.

        Run in a folder of the whole suite it keeps what others have finished there, and reports its own alone; the
        whole suite, run there again, reports all.

        Raises:
            ValueError: it has no such experiment.
        """
        known = [experiment.name for experiment in self.experiments]
        if not names or (strange := [name for name in names if name not in known]):
            asked = ", ".join(map(repr, strange)) if names else "none"
            raise ValueError(f"The experiments of {self.name} are {', '.join(known)}; {asked} was asked for.")
        return dataclasses.replace(self, experiments=tuple(e for e in self.experiments if e.name in names))

    def plain(self) -> dict[str, Any]:
        """As JSON-able data."""
        return plain(self)
