"""Trains the agent of one cell in its folder; an interrupted training there is continued.

folder/fit/           the log, and checkpoints until the cell is finished
folder/agent/         the trained agent
folder/trained.json   marks the training as finished; holds its seconds and the agent's own settings of its values
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np

from agents.agent import Agent, agent_class
from agents.benchmark.experiment import Cell, Experiment
from agents.benchmark.movie_review_values import ExactValues
from agents.benchmark.running import evaluate
from agents.data.source import Live, Logged, Mixed, Source
from agents.evaluation.advantage import quality_beside
from agents.evaluation.known_values import known_values
from agents.evaluation.rank_test import RankTest
from agents.models.lm import LM
from agents.models.lora import LoRAConfig
from agents.models.value_config import SPOKEN, ValueLMConfig
from agents.models.value_lm import ValueLM
from agents.training.fit import fit
from agents.training.fit_config import FitConfig
from agents.training.log import read_log
from datasets_builders.atomic import read_object, write_text
from datasets_builders.dataset import EpisodeDataset
from datasets_builders.fields import typed
from lang_envs.make import language_vec, of_file
from lang_envs.seeds import BENCHMARK_LIVE
from lang_envs.tasks.movie_review import MovieReview

LIVE_ROWS = 64  # live episodes played at once in training


def trained_agent(
    experiment: Experiment, cell: Cell, seed: int, data: Path, folder: Path, start: Agent | None
) -> tuple[Agent, dict[str, Any]]:
    """The cell's agent: loaded if it is trained already, otherwise trained in ``folder``.

    Args:
        experiment: the experiment of the cell.
        cell: the cell.
        seed: seed of the weights, of the order of the data, and of all sampling in training.
        data: folder of the logs.
        folder: where the log, the checkpoints and the agent go.
        start: the agent whose language model training starts from; if the cell is not trained, the agent itself.

    Returns:
        The agent, and facts about its training: ``seconds``, and ``decoding``, its own settings of its values
        (``evaluate.as_trained``).
    """
    if not cell.trained:
        start = start or make_agent(cell, _first_model(experiment, seed), seed)
        return start, {"seconds": 0.0, "decoding": evaluate.as_trained(start)}
    done = folder / "trained.json"
    if done.exists() and (folder / "agent").exists():
        return Agent.load(folder / "agent"), read_object(done)
    began = time.perf_counter()
    lm = start.lm if start else _first_model(experiment, seed)
    if isinstance(lm.model, ValueLM):  # undo the settings of the decoding that was chosen for the other cell
        for name in SPOKEN:
            setattr(lm.model.config, name, getattr(ValueLMConfig(), name))
    agent = make_agent(cell, lm, seed)
    _fit(experiment, cell, agent, seed, EpisodeDataset.load(data), folder / "fit")
    agent.save(folder / "agent")
    about = {"seconds": time.perf_counter() - began, "decoding": evaluate.as_trained(agent)}
    write_text(done, json.dumps(about))
    return agent, about


def _first_model(experiment: Experiment, seed: int) -> LM:
    """The language model of cells without a ``start``."""
    env = evaluate.make_env(experiment, 1)
    if not experiment.pretrained:
        return LM.from_scratch(experiment.lm, env, seed=seed)
    lora = None if experiment.lora is None else typed(LoRAConfig, experiment.lora, "lora")
    return LM.from_pretrained(experiment.lm, env, lora=lora, dtype=experiment.dtype, seed=seed)


def _fit(experiment: Experiment, cell: Cell, agent: Agent, seed: int, dataset: EpisodeDataset, out: Path) -> None:
    """Trains the cell's agent, with a log and checkpoints in ``out``."""
    settings = dict(cell.fit)
    steps = settings.pop("steps")
    config = FitConfig(
        **{"log_every": experiment.measure_every, **settings},
        seed=seed,
        eval_every=experiment.measure_every,
        evaluators=_evaluators(experiment, agent, dataset),
        checkpoint_every=max(1, steps // 4),
        out=out,
    )
    for _ in fit(agent, source_of(cell, dataset, seed), steps, config):
        pass


def source_of(cell: Cell, dataset: EpisodeDataset, seed: int) -> Source:
    """The cell's episodes: logged, live in the environment that the logs come from, or both."""
    logged = Logged(dataset if cell.first is None else dataset.select(np.arange(min(cell.first, len(dataset)))), seed)
    if not cell.live:
        return logged
    at = dataset.provenance["env"]
    env_id, options = of_file(at["id"], at["kwargs"], "the provenance of the logs")
    live = Live(language_vec(env_id, LIVE_ROWS, **options), seed=seed, seeds=BENCHMARK_LIVE)
    return live if cell.live == 1 else Mixed(logged, live, 1 - cell.live)


def make_agent(cell: Cell, lm: LM, seed: int = 0) -> Agent:
    """An agent of the cell's kind and settings around a language model; ``seed`` draws the weights of its heads.

    ``running.check`` has checked the kind and the settings before.
    """
    kind = agent_class(cell.agent)
    return kind(lm, get_type_hints(kind)["config"](**cell.config), seed)


def _evaluators(experiment: Experiment, agent: Agent, dataset: EpisodeDataset) -> dict[str, Any]:
    """The measurements during training; none for agents without values of tokens."""
    if not agent.values_tokens:
        return {}
    evaluators: dict[str, Any] = {}
    gamma, end_id, pad_id = agent.config.gamma, agent.lm.end_id, agent.lm.pad_id
    if experiment.rank_test:
        test = RankTest.from_dataset(dataset, end_id, gamma)

        def rank(agent: Agent) -> Mapping[str, float]:
            return flat(test.measure(agent.model, pad_id, end_id))

        evaluators["rank"] = rank
    if experiment.exact_values:
        task = evaluate.make_env(experiment, 1).task
        if not isinstance(task, MovieReview):
            raise ValueError(
                f"Only MovieReview knows its exact values, not {type(task).__name__}; set exact_values=False."
            )
        exact = ExactValues.of(task, gamma)

        def values(agent: Agent) -> Mapping[str, float]:
            return exact.compare(agent.model, pad_id, end_id)

        evaluators["values"] = values
    if experiment.advantage_quality:
        known = known_values(evaluate.make_env(experiment, 1).task, dataset, gamma)
        if not known:
            raise ValueError(f"{experiment.env} does not know its values; leave advantage_quality out.")
        evaluators["advantage"] = lambda agent: quality_beside(agent.model, known)
    return evaluators


def flat(measured: Mapping[str, Any]) -> dict[str, float]:
    """Replaces each list by one entry per offset: ``online/0`` .. ``online/5``."""
    result = {}
    for name, value in measured.items():
        entries = {f"{name}/{k}": x for k, x in enumerate(value)} if isinstance(value, list) else {name: value}
        result.update(entries)
    return result


def read_curve(folder: Path) -> list[dict[str, float]]:
    """The rows that ``fit`` logged, without the times, which differ between equal runs."""
    return [{k: value for k, value in row.items() if not k.startswith("time/")} for row in read_log(folder)]
