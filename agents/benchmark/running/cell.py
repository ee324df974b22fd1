"""One piece of the grid, measured: a trained cell, a policy that is not trained, or what a table is read beside."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from agents.agent import Agent
from agents.benchmark.baselines import make_policy
from agents.benchmark.experiment import Baseline, Cell, Experiment
from agents.benchmark.measures import Played, measure
from agents.benchmark.running import evaluate
from agents.benchmark.running.training import read_curve, trained_agent
from agents.evaluation.explain import Explanation, explain
from agents.evaluation.rank_test import RankTest
from datasets_builders.dataset import EpisodeDataset
from lang_envs.episode import Episodes
from lang_envs.make import language_vec
from lang_envs.seeds import YARDSTICKS

if TYPE_CHECKING:
    from lang_envs.vector import TokenVectorEnv

SAMPLES = 3  # transcripts kept of every cell


def measured(
    experiment: Experiment,
    cell: Cell,
    seed: int,
    data: Path,
    folder: Path,
    agents: Mapping[str, Path],
    held_out: Path | None = None,
) -> dict[str, Any]:
    """Measures one cell in the reported episodes, trained by ``training.trained_agent``.

    Args:
        experiment: what it is a part of.
        cell: what to train and measure.
        seed: of the training.
        data: the logs.
        folder: of the cell; its agent is saved there as it is reported.
        agents: folders of other cells' agents, by what this one uses them for.
        held_out: logs that no agent learns from, where the experiment has any.

    Returns:
        The JSON-able result: ``metrics`` (name -> number), ``curve`` (metrics over steps), ``decoding`` (the one
        reported), ``decodings`` (what each scored on the selection episodes), ``samples`` (HTML), ``seconds``.
    """
    others = {use: Agent.load(path) for use, path in agents.items()}
    agent, training = trained_agent(experiment, cell, seed, data, folder, others.get("start"))
    began = time.perf_counter()
    agent.model.eval()
    env = evaluate.make_env(experiment, min(evaluate.ROWS, experiment.episodes))
    proposer, before = others.get("candidates_from", agent), training["decoding"]
    choosing = evaluate.selection_env(experiment, min(evaluate.ROWS, experiment.selection_episodes))
    decoding, tried = choose_decoding(choosing, agent, cell, experiment.selection_episodes, proposer, before)
    policy = evaluate.decoded(agent, {**before, **decoding}, proposer)
    played = evaluate.report_episodes(env, policy, experiment)
    reference = agent if experiment.reference == cell.label else others.get("reference")
    kept_away = None if held_out is None else EpisodeDataset.load(held_out)
    shown = Played(env, played, reference, policy, kept_away)
    metrics = evaluate.metrics(played) | measure(experiment.measures, shown)
    if experiment.best_of > 1:
        metrics |= evaluate.best_of(env, proposer.policy(), experiment, played)
    for other in experiment.elsewhere:
        there = language_vec(other.env, min(evaluate.ROWS, experiment.episodes), **other.options)
        metrics[f"return/{other.label}"] = float(evaluate.report_episodes(there, policy, experiment).returns.mean())
    agent.save(folder / "agent")
    curve = read_curve(folder / "fit") if cell.trained else []
    return {
        "kind": "agent",
        "metrics": {**metrics, **_last_values(curve)},
        "curve": curve,
        "decoding": decoding,
        "decodings": tried,
        "samples": _samples(agent, played),
        "seconds": {"train": training["seconds"], "evaluate": time.perf_counter() - began},
    }


def choose_decoding(
    env: TokenVectorEnv,
    agent: Agent,
    cell: Cell,
    episodes: int,
    candidates_from: Agent,
    before: Mapping[str, Any],
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The cell's decoding with the best mean return on the selection episodes, and the returns of all.

    What a decoding does not name is as in ``before``, whatever was tried in between. A single one is measured only
    where the cell belongs to a group, whose settings are compared by it.
    """
    if len(cell.decodings) == 1 and not cell.group:
        return cell.decodings[0], []
    tried: list[dict[str, Any]] = []
    for decoding in cell.decodings:
        policy = evaluate.decoded(agent, {**before, **decoding}, candidates_from)
        tried.append({"decoding": decoding, "return": evaluate.selection_return(env, policy, episodes)})
    best = max(range(len(tried)), key=lambda i: tried[i]["return"])  # the first of equals
    return cell.decodings[best], tried


def _last_values(curve: list[dict[str, float]]) -> dict[str, float]:
    """The last measurement of everything measured during training."""
    last = [row for row in curve if any(name.startswith("eval/") for name in row)][-1:]
    return {name.removeprefix("eval/"): x for row in last for name, x in row.items() if name.startswith("eval/")}


def _samples(agent: Agent, played: Episodes) -> list[dict[str, Any]]:
    """The first reported episodes that differ, as HTML, coloured by advantage where the agent has values."""
    samples = []
    distinct = {episode.tokens.tobytes(): episode for episode in played}
    for episode in list(distinct.values())[:SAMPLES]:
        if agent.needs_values:
            explanation = explain(agent.model, agent.lm.tokenizer, episode, agent.lm.max_utterance_tokens)
        else:
            explanation = Explanation.without_values(agent.lm.tokenizer, episode)
        samples.append({"html": explanation.html(), "return": episode.ret})
    return samples


def play_baseline(experiment: Experiment, baseline: Baseline) -> dict[str, Any]:
    """Plays the reported episodes with a policy that is not trained."""
    began = time.perf_counter()
    env = evaluate.make_env(experiment, min(evaluate.ROWS, experiment.episodes))
    policy = make_policy(baseline.policy, env, **baseline.options)
    played = evaluate.report_episodes(env, policy, experiment)
    return {
        "kind": "baseline",
        "metrics": evaluate.metrics(played) | measure(experiment.measures, Played(env, played)),
        "seconds": {"evaluate": time.perf_counter() - began},
    }


def yardsticks(experiment: Experiment, data: Path) -> dict[str, Any]:
    """What the rank test is read beside: the behaviour's values, those of optimal play, and the attainable scores."""
    began = time.perf_counter()
    gammas = {cell.config.get("gamma", 0.99) for cell in experiment.cells}
    if len(gammas) > 1:
        raise ValueError(
            f"One discount per experiment, so that values can be compared; {experiment.name} has {gammas}."
        )
    dataset = EpisodeDataset.load(data)
    env = evaluate.make_env(experiment)
    test = RankTest.from_dataset(dataset, env.end_id, gammas.pop())
    seeds = YARDSTICKS.episodes(experiment.yardstick_games)
    taus = sorted(
        {cell.config["tau"] for cell in experiment.cells if "tau" in cell.config} | {*experiment.compare_taus}
    )
    optimal = test.values_of(env, make_policy("optimal", env), seeds, np.random.default_rng(0))
    return {
        "kind": "yardsticks",
        "behaviour": test.yardsticks(),
        "optimal": optimal,
        "ideal": test.ideal_sarsa,
        "ceiling": test.ceiling,
        "tabular": {f"{tau:g}": test.tabular(dataset, tau) for tau in taus},
        "words": len(test.words),
        "seconds": {"evaluate": time.perf_counter() - began},
    }
