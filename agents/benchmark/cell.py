"""One cell of the grid: train an agent once, measure it on the way, play the reported episodes."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

import numpy as np

from agents import AGENTS, LM
from agents.agent import Agent
from agents.benchmark import evaluate
from agents.benchmark.baselines import make_policy
from agents.benchmark.exact import ExactValues
from agents.benchmark.experiment import YARDSTICK_SEEDS, Baseline, Cell, Experiment
from agents.benchmark.measures import Played, measure
from agents.explain import Explanation, explain
from agents.fit import FitConfig, fit
from agents.rank_test import RankTest
from agents.source import Live, Logged, Mixed, Source
from datasets_builders.dataset import EpisodeDataset
from lang_envs.episode import Episodes
from lang_envs.make import language_vec
from lang_envs.tasks.movie_review import MovieReview

if TYPE_CHECKING:
    from lang_envs.vector import TokenVectorEnv

SAMPLES = 3  # transcripts kept of every cell
LIVE_ROWS = 64  # episodes that learning agents play at once
LIVE_SEED = 1 << 20  # far from the seeds of data sets: no live episode repeats the start of a logged one


def train(
    experiment: Experiment,
    cell: Cell,
    seed: int,
    data: Path,
    folder: Path,
    agents: Mapping[str, Path],
    held_out: Path | None = None,
) -> dict[str, Any]:
    """Trains and evaluates one cell; an interrupted training in ``folder`` is continued.

    Args:
        experiment: what it is a part of.
        cell: what to train.
        seed: of the weights, of the order of the data, and of what is drawn in training.
        data: the logs.
        folder: where the log, the checkpoints and the agent go.
        agents: folders of other cells' agents, by what this one uses them for.
        held_out: logs that no agent learns from, where the experiment has any.

    Returns:
        The JSON-able result: ``metrics`` (name -> number), ``curve`` (metrics over steps), ``decoding`` (the one
        reported), ``decodings`` (what each scored on the selection episodes), ``samples`` (HTML), ``seconds``.
    """
    began = time.perf_counter()
    env = evaluate.make_env(experiment, min(evaluate.ROWS, experiment.episodes))
    others = {use: Agent.load(path) for use, path in agents.items()}
    if cell.trained:
        lm = others["start"].lm if "start" in others else LM.from_scratch(experiment.lm, env, seed=seed)
        agent = make_agent(cell, lm, seed)
        _fit(experiment, cell, agent, seed, EpisodeDataset.load(data), folder / "fit")
    else:
        agent = others["start"]
    trained = time.perf_counter()
    agent.model.eval()
    proposer, before = others.get("candidates_from", agent), evaluate.as_trained(agent)
    choosing = evaluate.selection_env(experiment, min(evaluate.ROWS, experiment.selection_episodes))
    decoding, tried = choose_decoding(choosing, agent, cell, experiment.selection_episodes, proposer)
    policy = evaluate.decoded(agent, before | decoding, proposer)
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
        "seconds": {"train": trained - began, "evaluate": time.perf_counter() - trained},
    }


def _fit(experiment: Experiment, cell: Cell, agent: Agent, seed: int, dataset: EpisodeDataset, out: Path) -> None:
    """Trains the cell's agent, with a log and checkpoints in ``out``."""
    settings = dict(cell.fit)
    steps = settings.pop("steps")
    config = FitConfig(
        **{"log_every": experiment.measure_every, **settings},
        seed=seed,
        eval_every=experiment.measure_every,
        evaluators=_evaluators(experiment, agent, dataset),
        checkpoint_every=max(steps // 4, experiment.measure_every),
        out=out,
        progress=False,
    )
    for _ in fit(agent, source_of(cell, dataset, seed), steps, config):
        pass


def source_of(cell: Cell, dataset: EpisodeDataset, seed: int) -> Source:
    """The cell's episodes: logged, live in the environment that the logs come from, or both."""
    logged = Logged(dataset if cell.first is None else dataset.select(np.arange(min(cell.first, len(dataset)))), seed)
    if not cell.live:
        return logged
    env = dataset.provenance["env"]
    live = Live(language_vec(env["id"], LIVE_ROWS, **env["kwargs"]), seed=LIVE_SEED + seed)
    return live if cell.live == 1 else Mixed(logged, live, 1 - cell.live)


def choose_decoding(
    env: TokenVectorEnv, agent: Agent, cell: Cell, episodes: int, candidates_from: Agent
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The cell's decoding with the best mean return on the selection episodes, and the returns of all.

    What a decoding does not name is as the agent was trained, whatever was tried before. A single one is measured only
    where the cell belongs to a group, whose settings are compared by it.
    """
    if len(cell.decodings) == 1 and not cell.group:
        return cell.decodings[0], []
    tried: list[dict[str, Any]] = []
    before = evaluate.as_trained(agent)
    for decoding in cell.decodings:
        policy = evaluate.decoded(agent, before | decoding, candidates_from)
        tried.append({"decoding": decoding, "return": evaluate.selection_return(env, policy, episodes)})
    best = max(range(len(tried)), key=lambda i: tried[i]["return"])  # the first of equals
    return cell.decodings[best], tried


def make_agent(cell: Cell, lm: LM, seed: int = 0) -> Agent:
    """The cell's agent around a language model; ``seed`` draws the heads' weights.

    Raises:
        ValueError: the cell names no known agent.
    """
    if cell.agent not in AGENTS:
        raise ValueError(f"There is no agent {cell.agent!r}; choose one of {', '.join(AGENTS)}.")
    agent_class = AGENTS[cell.agent]
    return agent_class(lm, get_type_hints(agent_class)["config"](**cell.config), seed)


def _evaluators(experiment: Experiment, agent: Agent, dataset: EpisodeDataset) -> dict[str, Any]:
    """What is measured during training; nothing for agents without values."""
    if not agent.needs_values:
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
    return evaluators


def flat(measured: Mapping[str, Any]) -> dict[str, float]:
    """Lists become one entry per offset: ``online/0`` .. ``online/5``."""
    result = {}
    for name, value in measured.items():
        entries = {f"{name}/{k}": x for k, x in enumerate(value)} if isinstance(value, list) else {name: value}
        result.update(entries)
    return result


def read_curve(folder: Path) -> list[dict[str, float]]:
    """The rows that ``fit`` logged, without how fast it was, which differs between equal runs."""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if not name.startswith("time/")} for row in rows]


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
            explanation = explain(agent.model, agent.lm.tokenizer, episode)
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
    seeds = range(YARDSTICK_SEEDS, YARDSTICK_SEEDS + experiment.yardstick_games)
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
