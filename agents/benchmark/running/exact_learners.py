"""What a method earns that knows by heart every state of a log: an experiment's ``exact`` learners, measured."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from agents.benchmark.experiment import ExactLearner, Experiment
from agents.benchmark.running import evaluate, starts
from agents.evaluation.wordle_play import returns
from agents.evaluation.wordle_tables import WordleTable
from agents.value_learning import Backup
from datasets_builders.dataset import EpisodeDataset
from lang_envs.task import Task
from lang_envs.tasks.wordle import Wordle

METHODS = ("bc", "sarsa", "monte_carlo", "ilql")


def learned(experiment: Experiment, learner: ExactLearner, data: Path) -> dict[str, Any]:
    """Learns the table of one method and plays it, greedily and sampled, each decoded as pays best.

    Decodings are chosen on the hidden words that agents' are chosen on, and what is reported is of those that agents
    are reported on.

    Returns:
        The JSON-able result: ``metrics`` (``greedy/return``, ``sampled/return``, and ``return``, the better of them),
        ``decodings`` (those of both), ``seconds``.

    Raises:
        ValueError: the logs are not of the experiment's game.
    """
    began = time.perf_counter()
    env = evaluate.make_env(experiment, 1)
    task = game_of(env.task)
    logs = EpisodeDataset.load(data)
    if learner.keep_top < 1:
        logs = logs.filter(top_fraction=learner.keep_top)
    tau, backup = _values(learner)
    table = WordleTable.of(task, logs.rows(np.arange(len(logs))), tau, learner.gamma, backup)
    trained, began = time.perf_counter() - began, time.perf_counter()
    choosing, reported = starts.selection(experiment, env).contexts, starts.report(experiment, env).contexts
    chosen = {way: max(grid, key=lambda d: _mean(table, d, choosing, 0)) for way, grid in decodings(learner).items()}
    means = {way: _mean(table, decoding, reported, 1) for way, decoding in chosen.items()}
    return {
        "kind": "exact",
        "metrics": {"return": max(means.values()), **{f"{way}/return": mean for way, mean in means.items()}},
        "decodings": chosen,
        "seconds": {"train": trained, "evaluate": time.perf_counter() - began},
    }


def game_of(task: Task[Any]) -> Wordle:
    """The game whose states are known.

    Raises:
        ValueError: for another task.
    """
    if not isinstance(task, Wordle):
        raise ValueError(f"exact learners know the states of Wordle alone, not those of {type(task).__name__}.")
    return task


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


def _mean(table: WordleTable, decoding: dict[str, Any], hidden: Sequence[int] | None, seed: int) -> float:
    return float(returns(table, decoding, hidden, seed=seed).mean())
