"""Measures an experiment's ``exact`` learners: methods as tables with an entry for every state of the log."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from agents.benchmark.experiment import ExactLearner, Experiment
from agents.benchmark.running import evaluate, starts
from agents.evaluation.service_desk_table import DeskTable
from agents.evaluation.wordle_play import returns
from agents.evaluation.wordle_tables import WordleTable
from agents.value_learning import Backup
from datasets_builders.dataset import EpisodeDataset
from lang_envs.make import language_vec, of_file
from lang_envs.speech import Speech
from lang_envs.task import Task
from lang_envs.tasks.service_desk import ServiceDesk
from lang_envs.tasks.wordle import Wordle

Earns = Callable[[dict[str, Any], Sequence[int] | None, int], float]
"""the mean return of a decoding, from some starting points, with a seed for what is drawn"""
Learn = Callable[[Any, EpisodeDataset, float, float, Backup], Earns]
"""learns a table of a task from a log, with an expectile, a discount and a backup"""


def learned(experiment: Experiment, learner: ExactLearner, data: Path) -> dict[str, Any]:
    """Learns the table of one method and says what it earns, greedily and sampled, each decoded as pays best.

    Decodings are chosen on the starting points that agents' are chosen on, and what is reported is of those that agents
    are reported on. At a service desk both are the mean over all goals, exactly.

    Returns:
        The JSON-able result: ``metrics`` (``greedy/return``, ``sampled/return``, and ``return``, the better of them),
        ``decodings`` (those of both), ``seconds``.

    Raises:
        ValueError: no table is known for the task, or the logs are not of the experiment's game.
    """
    began = time.perf_counter()
    env = evaluate.make_env(experiment, 1)
    learn = learner_of(env.task)
    logs = EpisodeDataset.load(data)
    if learner.keep_top < 1:
        logs = logs.filter(top_fraction=learner.keep_top)
    tau, backup = _values(learner)
    earns = learn(env.task, logs, tau, learner.gamma, backup)
    trained, began = time.perf_counter() - began, time.perf_counter()
    choosing, reported = starts.selection(experiment, env).contexts, starts.report(experiment, env).contexts
    chosen = {way: max(grid, key=lambda d: earns(d, choosing, 0)) for way, grid in decodings(learner).items()}
    means = {way: earns(decoding, reported, 1) for way, decoding in chosen.items()}
    return {
        "kind": "exact",
        "metrics": {"return": max(means.values()), **{f"{way}/return": mean for way, mean in means.items()}},
        "decodings": chosen,
        "seconds": {"train": trained, "evaluate": time.perf_counter() - began},
    }


def learner_of(task: Task[Any]) -> Learn:
    """What learns a table of the task.

    Raises:
        ValueError: none is known.
    """
    for kind, learn in TABLES.items():
        if isinstance(task, kind):
            return learn
    names = " and ".join(kind.__name__ for kind in TABLES)
    raise ValueError(f"exact learners know the states of {names} alone, not those of {type(task).__name__}.")


def _wordle(task: Wordle, logs: EpisodeDataset, tau: float, gamma: float, backup: Backup) -> Earns:
    table = WordleTable.of(task, logs.rows(np.arange(len(logs))), tau, gamma, backup)
    return lambda decoding, hidden, seed: float(returns(table, decoding, hidden, seed=seed).mean())


def _service_desk(task: ServiceDesk, logs: EpisodeDataset, tau: float, gamma: float, backup: Backup) -> Earns:
    at = logs.provenance["env"]  # another split than the one that is played
    env_id, options = of_file(at["id"], at["kwargs"], "the provenance of the logs")
    played = language_vec(env_id, 1, **options)
    table = DeskTable.of(Speech(played.task, played.tokenizer), list(logs), tau, gamma, backup)
    return lambda decoding, contexts, seed: table.earns(task, **decoding)


TABLES: dict[type[Task[Any]], Learn] = {Wordle: _wordle, ServiceDesk: _service_desk}
"""What learns a table, by task."""


def decodings(learner: ExactLearner) -> dict[str, list[dict[str, Any]]]:
    """What is tried, by whether it is greedy or sampled."""
    weights = (0.0,) if learner.method == "bc" else learner.weights
    return {
        "greedy": [{"greedy": True, "advantage_weight": w} for w in weights],
        "sampled": [{"advantage_weight": w, "lm_top_p": p} for w in weights for p in learner.top_p],
    }


def _values(learner: ExactLearner) -> tuple[float, Backup]:
    """The expectile and the backup that make the table that of the method."""
    if learner.method == "ilql":
        return learner.tau, learner.backup
    return 0.5, 1.0 if learner.method == "monte_carlo" else learner.backup
