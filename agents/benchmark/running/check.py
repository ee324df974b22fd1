"""Checks a suite before anything is written, so that a mistake is not found after hours of training."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from agents.agent import agent_class
from agents.benchmark.baselines import check_policy
from agents.benchmark.experiment import Cell, Data, Experiment, Suite
from agents.benchmark.measures import MEASURES
from agents.benchmark.running.evaluate import SCORES, check_names
from agents.benchmark.running.exact_learners import learner_of
from agents.benchmark.running.units import Unit, recorded_data, units
from agents.models.lora import LoRAConfig
from agents.models.sizes import SIZES
from agents.models.value_config import SPOKEN
from agents.training.fit_config import FitConfig
from datasets_builders import recipes
from datasets_builders.dataset import EpisodeDataset
from datasets_builders.fields import check_types, typed
from lang_envs.make import language_vec
from lang_envs.misspelt import unknown
from lang_envs.pretrained import load_config
from lang_envs.tasks.movie_review import MovieReview
from lang_envs.tokenizers import fingerprint

if TYPE_CHECKING:
    from lang_envs.vector import TokenVectorEnv

_CONDITIONED = "decision_transformer"  # its language model was trained with return tokens before each utterance


def check(suite: Suite, out: Path) -> None:
    """Refuses unknown names and settings, and environments that cannot be made, for example without their corpus.

    Raises:
        ValueError: the suite cannot run; the error names the experiment or the cell, and what is wrong.
    """
    envs = _Environments()
    for experiment in suite.experiments:
        with _named(f"The experiment {experiment.name!r}"):
            _check_experiment(experiment, envs)
    for unit in units(dataclasses.replace(suite, seeds=1), out):
        if isinstance(unit.part, Cell):
            with _named(f"The cell {unit.experiment.name}/{unit.part.label}"):
                _check_cell(unit, unit.part)
    for folder, data in recorded_data(suite, out).items():
        if not folder.exists():
            with _named(f"The data of {data.recipe!r}"):
                _check_data(data, envs)


@contextmanager
def _named(where: str) -> Iterator[None]:
    try:
        yield
    except (ValueError, TypeError, OSError, ImportError) as error:
        raise ValueError(f"{where}: {error}") from None


class _Environments:
    """Environments of one row; each is made once, because some read a large corpus."""

    def __init__(self) -> None:
        self._made: dict[str, TokenVectorEnv] = {}

    def __call__(self, env: str, options: dict[str, Any]) -> TokenVectorEnv:
        key = json.dumps([env, options], sort_keys=True, default=repr)
        if key not in self._made:
            self._made[key] = language_vec(env, 1, **options)
        return self._made[key]


def _check_experiment(experiment: Experiment, envs: _Environments) -> None:
    _check_model(experiment)
    env = envs(experiment.env, experiment.env_options)
    if experiment.selection_options is not None:
        envs(experiment.env, experiment.selection_options)
    for other in experiment.elsewhere:
        if fingerprint(envs(other.env, other.options).tokenizer) != fingerprint(env.tokenizer):
            raise ValueError(f"{other.label!r} ({other.env}) has other tokens than {experiment.env}.")
    for baseline in experiment.baselines:
        with _named(f"the baseline {baseline.label!r}"):
            check_policy(baseline.policy, env, baseline.options)
    for learner in experiment.exact:
        with _named(f"the exact learner {learner.label!r}"):
            learner_of(env.task)
            check_types(learner)
    labels = [baseline.label for baseline in experiment.baselines]
    _check_scale(experiment, labels)
    for measure in (*experiment.measures, *(name for other in experiment.elsewhere for name in other.measures)):
        if measure not in MEASURES:
            raise ValueError(unknown("measure", measure, MEASURES))
    for data in (experiment.data, experiment.held_out, *(cell.data for cell in experiment.cells)):
        if isinstance(data, Data) and data.path:
            EpisodeDataset.load(data.path).require(env.tokenizer)
    for name in ("episodes", "selection_episodes", "best_of", "measure_every", "yardstick_games"):
        if (number := getattr(experiment, name)) < 1:
            raise ValueError(f"{name} must be at least 1, not {number}.")
    if experiment.exact_values and not isinstance(env.task, MovieReview):
        raise ValueError(f"only MovieReview knows its exact values, not {type(env.task).__name__}; set it to false.")


def _check_scale(experiment: Experiment, labels: list[str]) -> None:
    """Checks ``normalise``: two or three marks, each a known baseline or a return; returns in ascending order."""
    marks = experiment.normalise or ()
    for label in marks:
        if isinstance(label, str) and label not in labels:
            raise ValueError(unknown("baseline to normalise by that is called", label, labels))
    numbers = [mark for mark in marks if not isinstance(mark, str)]
    if (marks and not 2 <= len(marks) <= 3) or numbers != sorted(set(numbers)):
        raise ValueError(f"normalise has two or three baselines or returns, the least first, not {list(marks)}.")


def _check_model(experiment: Experiment) -> None:
    """Checks that the language model exists, and that only a pretrained one has ``lora`` or ``dtype``."""
    if experiment.pretrained:
        try:
            load_config(experiment.lm)
        except ValueError as error:
            raise ValueError(f"{unknown('size of a model', experiment.lm, SIZES)} As a model: {error}") from None
        if experiment.lora is not None:
            typed(LoRAConfig, experiment.lora, "lora")
    elif experiment.lora is not None or experiment.dtype != "fp32":
        raise ValueError(f"lora and dtype are of a model that was trained elsewhere; {experiment.lm!r} is made here.")


def _check_data(data: Data, envs: _Environments) -> None:
    recipe, own, env_id, options = recipes.parts(data.recipe, data.options)
    recipes.first_seed(data.seed)
    if recipes.how_many(recipe, data.episodes, envs(env_id, options), own) < 1:
        raise ValueError(f"episodes must be at least 1, not {data.episodes}.")


def _check_cell(unit: Unit, cell: Cell) -> None:
    kind = agent_class(cell.agent)
    if not cell.decodings:
        raise ValueError("it needs a decoding; {} is the one that its agent has of itself.")
    for use, needed in unit.needs.items():
        goes_on = use == "reference" or (use == "start" and cell.agent != _CONDITIONED)
        if goes_on and isinstance(needed.part, Cell) and needed.part.agent == _CONDITIONED:
            raise ValueError(
                f"it has {needed.part.label!r} as its {use}, a language model that speaks behind return tokens alone. "
                "Name one that was trained without them."
            )
    for decoding in cell.decodings:
        _check_decoding(unit, cell, decoding)
    if not 0 <= cell.live <= 1:
        raise ValueError(f"live is a share between 0 and 1, not {cell.live}.")
    if cell.first is not None and cell.first < 1:
        raise ValueError(f"first must be at least 1, not {cell.first}.")
    if not cell.trained:
        if cell.start is None and not unit.experiment.pretrained:
            raise ValueError("it is not trained, so it must start from one that is.")
        return
    fit = dict(cell.fit)
    if not isinstance(steps := fit.pop("steps", None), int) or steps < 1:
        raise ValueError(f"fit must say how many steps it trains, as in fit={{'steps': 300}}, not {steps!r}.")
    typed(get_type_hints(kind)["config"], cell.config, "config")
    typed(FitConfig, fit, "fit")


def _check_decoding(unit: Unit, cell: Cell, decoding: dict[str, Any]) -> None:
    """Checks the names of a decoding.

    Settings of the values belong to the agent that speaks: the cell's, or that of ``start`` if the cell is not trained.
    The other names belong to the agent that proposes candidates.
    """
    speaker = cell if cell.trained else _needed(unit, "start", cell)
    proposer = _needed(unit, "candidates_from", speaker)
    values = [name for name in decoding if name in SPOKEN]
    check_names(agent_class(speaker.agent), values)
    check_names(agent_class(proposer.agent), [name for name in decoding if name not in values])
    if (by := decoding.get("rank")) is not None and not (isinstance(by, str) and by in SCORES):
        raise ValueError(unknown("score to rank candidates by", by, SCORES))


def _needed(unit: Unit, use: str, otherwise: Cell) -> Cell:
    part = unit.needs[use].part if use in unit.needs else otherwise
    return part if isinstance(part, Cell) else otherwise
