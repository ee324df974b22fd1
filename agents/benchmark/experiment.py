"""Suites, experiments and their parts, as plain data that can be written to a file, compared and run again."""

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
    """a name in ``agents.AGENTS``, or "module:Class", or a name that an installed package registers"""
    config: dict[str, Any] = field(default_factory=dict)
    """fields of the agent's configuration"""
    fit: dict[str, Any] = field(default_factory=dict)
    """``steps`` and fields of ``FitConfig``"""
    decodings: tuple[dict[str, Any], ...] = ({"greedy": True},)
    """decodings to try (``evaluate.decoded``); the best greedy and the best sampled one on the selection episodes are
    reported (``protocols``), and all other metrics are of the better of the two"""
    start: str | None = None
    """label of the cell whose trained language model this cell starts from, of the same seed; ``experiment/label`` for
    a cell of another experiment; None: the experiment's language model, from scratch or pretrained"""
    trained: bool = True
    """whether the cell is trained; if not, it is the agent of ``start`` with other decodings, or without ``start`` the
    experiment's pretrained language model"""
    candidates_from: str | None = None
    """label of the cell whose agent proposes the candidates of decodings that rank; None: the agent itself"""
    data: Data | Samples | None = None
    """logs to learn from instead of the experiment's"""
    first: int | None = None
    """number of episodes to learn from, the first of the logs; None: all"""
    live: float = 0.0
    """share of the episodes that are played live, in the environment of the logs"""
    group: str = ""
    """name of the method that several cells are settings of; the report shows the spread over these cells"""
    line: str = ""
    """name of the line that the cell is a point of, in the plot over what the experiment ``varies``; empty: the plot
    shows the cell as a horizontal line"""
    at: float = 0.0
    """x-coordinate of the cell on that line"""


@dataclass(frozen=True)
class Baseline:
    """A policy that is not trained."""

    label: str
    policy: str
    """a name in ``agents.benchmark.baselines``; or "module:Name", or a name that an installed package registers, of a
    function that is called with the environment and the options and returns a policy"""
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ExactLearner:
    """A method as a table with an entry for every state of the log, in a task with few and known states.

    These tasks are Wordle and ServiceDesk (``agents.benchmark.running.exact_learners``). The report shows exact
    learners with the agents. Their returns show how much can be gained from the log, before any model is trained.

    Raises:
        ValueError: a setting is outside its range.
    """

    label: str
    method: Literal["bc", "sarsa", "monte_carlo", "ilql"]
    keep_top: float = 1.0
    """fraction of the logged episodes to learn from, those with the best returns; of equal returns the earlier"""
    tau: float = 0.7
    """expectile of ILQL's values"""
    gamma: float = 0.99
    """discount per token of the agent; in ServiceDesk, whose actions are acts, per turn"""
    backup: Literal["token", "utterance"] | float = "token"
    """how far a target of SARSA or ILQL looks ahead (``agents.value_learning``)"""
    weights: tuple[float, ...] = (0.0, 2.0, 8.0, 16.0, 32.0)
    """weights of the advantage that are tried; "bc" has no values and is decoded with a weight of 0"""
    top_p: tuple[float, ...] = (1.0, 0.95, 0.8, 0.5)
    """values of ``lm_top_p`` that are tried for sampled decodings"""

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
    """what is measured there besides return and success, names in ``agents.benchmark.measures.MEASURES``"""


@dataclass(frozen=True)
class Experiment:
    """One data set, one environment, and the agents compared on them.

    Raises:
        ValueError: two cells have the same place on a line, or a name cannot be a file name.
    """

    name: str
    title: str
    about: str
    """the question, and what the answer shows and does not show"""
    data: Data
    env: str
    """id of the environment that agents are evaluated in"""
    cells: tuple[Cell, ...]
    env_options: dict[str, Any] = field(default_factory=dict)
    lm: str = "d64-l2"
    """the language model: a size to train from scratch (``agents.models.sizes``), or a pretrained one: ``smollm2``, a
    folder, a GGUF file, a name on the hub. With a pretrained one, all environments and logs use its tokenizer"""
    lora: dict[str, Any] | None = None
    """settings of ``LoRAConfig``, to train adapters of a pretrained model; None trains its weights"""
    dtype: Literal["fp32", "bf16"] = "fp32"
    """type of the weights of a pretrained model"""
    markup: str = ""
    """how conversations are written as tokens (``lang_envs.adoption.set_markup``); empty: as the tokenizer says"""
    baselines: tuple[Baseline, ...] = ()
    exact: tuple[ExactLearner, ...] = ()
    """learners without generalisation, reported with the agents"""
    normalise: tuple[str | float, ...] | None = None
    """what becomes 0 and 1 in the normalised score: returns, or labels of baselines, which stand for their returns. If
    there are three, the second becomes 1/2, and the score is linear on either side of it"""
    published: dict[str, float] = field(default_factory=dict)
    """returns that others report for the same task, by the name of their method; shown below our own"""
    episodes: int = 1024
    """number of evaluation episodes of each agent that samples; a greedy agent plays each context at most once"""
    selection_episodes: int = 256
    """number of episodes on which a cell's decodings, and the settings of a group, are compared"""
    split_starts: bool = True
    """whether the report leaves out the contexts that decodings are chosen on; set it to False if the task consists of
    all contexts, as a maze does of its cells"""
    selection_options: dict[str, Any] | None = None
    """options of the environment of the selection episodes, such as another split; None: those of the report, whose
    contexts are then split between selection and report (``starts``)"""
    rank_test: bool = False
    """whether to run the rank test of learned values (``agents.evaluation.rank_test``)"""
    compare_taus: tuple[float, ...] = ()
    """further expectiles, besides those of the cells, whose exact fixed point on the log is shown with the rank test"""
    held_out: Data | None = None
    """logs that no agent learns from, for off-policy estimates"""
    measures: tuple[str, ...] = ()
    """what else is measured on the reported episodes, names in ``agents.benchmark.measures.MEASURES``"""
    best_of: int = 1
    """largest n for which the best return of n episodes from the same start is reported, for n = 1, 2 ..; the first
    episode is the reported one, the others are sampled"""
    reference: str | None = None
    """label of the cell under whose language model perplexity and divergence are measured"""
    elsewhere: tuple[Elsewhere, ...] = ()
    """other environments to measure the agents in"""
    exact_values: bool = False
    """whether to compare learned values with the exact ones of MovieReview during training"""
    advantage_quality: bool = False
    """whether to compare the order of learned advantages with that of known ones during training, in a task with known
    values (``agents.evaluation.known_values``)"""
    advantage_states: int = 0
    """number of states in which the order of learned advantages is compared with that of the returns of playing on
    (``agents.evaluation.played_values``); 0: none"""
    measure_every: int = 100
    """training steps between two measurements of the values"""
    yardstick_games: int = 2000
    """number of games from which the optimal values beside the rank test are estimated"""
    seeds: int | None = None
    """training runs of each cell, if fewer than the suite's; None: the suite's number"""
    varies: str = ""
    """what ``at`` measures along a ``line`` of cells, in words: the x-axis of a plot; empty: no such plot"""

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
        """Whether its language model is a pretrained one."""
        return self.lm not in SIZES

    def _speak_as_the_model(self) -> None:
        """Sets the model's tokenizer and the markup in the options of every environment and of every recorded log."""
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
    """A part of a suite as JSON-able data; an empty ``path`` is left out."""

    def fields(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        return {name: value for name, value in pairs if (name, value) != ("path", "")}

    return json.loads(json.dumps(dataclasses.asdict(part, dict_factory=fields)))


def folder_name(label: str) -> str:
    """The name of the folder of a cell or a baseline with that label."""
    return label.replace("%", "percent-").replace(" ", "-").lower()


@dataclass(frozen=True)
class Suite:
    """Experiments that make one report.

    Raises:
        ValueError: two experiments have the same name, apart from capitals.
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

        It can run in a folder of the whole suite. It then keeps the finished cells of the other experiments, and its
        report has only its own experiments. The whole suite, run there again, reports all.

        Raises:
            ValueError: no name is given, or the suite has no experiment of that name.
        """
        known = [experiment.name for experiment in self.experiments]
        if not names or (strange := [name for name in names if name not in known]):
            asked = ", ".join(map(repr, strange)) if names else "none"
            raise ValueError(f"The experiments of {self.name} are {', '.join(known)}; {asked} was asked for.")
        return dataclasses.replace(self, experiments=tuple(e for e in self.experiments if e.name in names))

    def plain(self) -> dict[str, Any]:
        """As JSON-able data."""
        return plain(self)
