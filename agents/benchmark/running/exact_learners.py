"""Measures the exact learners of an experiment: methods as tables with an entry for every state of the log."""

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
"""(decoding, contexts to start from or None for all, seed) -> the mean return"""
Learn = Callable[[Any, EpisodeDataset, float, float, Backup], Earns]
"""(task, log, expectile, discount, backup) -> the returns of the table that is learned"""


def learned(experiment: Experiment, learner: ExactLearner, data: Path) -> dict[str, Any]:
    """Learns the table of one method, and measures its best greedy and its best sampled decoding.

    Decodings are chosen on the contexts that agents' decodings are chosen on, and measured on those that agents are
    reported on. In ServiceDesk both are the exact mean over all goals.

    Returns:
        The JSON-able result: ``metrics`` (``greedy/return``, ``sampled/return``, and ``return``, the better of them),
        ``decodings`` (the two that were chosen), ``seconds``.

    Raises:
        ValueError: there is no table for the task, or the logs are not of the experiment's game.
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
    """The function that learns a table of the task.

    Raises:
        ValueError: there is none.
    """
    for kind, learn in TABLES.items():
        if isinstance(task, kind):
            return learn
    names = " and ".join(kind.__name__ for kind in TABLES)
    raise ValueError(f"exact learners know only the states of {names}, not those of {type(task).__name__}.")


def _wordle(task: Wordle, logs: EpisodeDataset, tau: float, gamma: float, backup: Backup) -> Earns:
    table = WordleTable.of(task, logs.rows(np.arange(len(logs))), tau, gamma, backup)
    return lambda decoding, hidden, seed: float(returns(table, decoding, hidden, seed=seed).mean())


def _service_desk(task: ServiceDesk, logs: EpisodeDataset, tau: float, gamma: float, backup: Backup) -> Earns:
    at = logs.provenance["env"]  # the logs may be of another split than the one that is played
    env_id, options = of_file(at["id"], at["kwargs"], "the provenance of the logs")
    played = language_vec(env_id, 1, **options)
    table = DeskTable.of(Speech(played.task, played.tokenizer), list(logs), tau, gamma, backup)
    return lambda decoding, contexts, seed: table.earns(task, **decoding)


TABLES: dict[type[Task[Any]], Learn] = {Wordle: _wordle, ServiceDesk: _service_desk}
"""task -> the function that learns its table"""


def decodings(learner: ExactLearner) -> dict[str, list[dict[str, Any]]]:
    """The decodings to try, greedy and sampled."""
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
