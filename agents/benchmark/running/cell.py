"""Measures one piece of a benchmark: a trained cell, an untrained policy, or the yardsticks of the rank test."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from agents.agent import Agent
from agents.benchmark.baselines import make_policy
from agents.benchmark.experiment import Baseline, Cell, Elsewhere, Experiment
from agents.benchmark.measures import Played, measure
from agents.benchmark.running import evaluate, starts
from agents.benchmark.running.protocols import (
    Decoding,
    Speaker,
    Tried,
    best,
    best_of_each,
    protocol_of,
    try_decodings,
)
from agents.benchmark.running.starts import Part
from agents.benchmark.running.training import read_curve, trained_agent
from agents.evaluation.advantage import quality_beside
from agents.evaluation.explain import Explanation, explain
from agents.evaluation.played_values import played_values
from agents.evaluation.rank_test import RankTest
from datasets_builders.dataset import EpisodeDataset
from lang_envs.conversation import to_json
from lang_envs.episode import Episode, Episodes
from lang_envs.make import language_vec
from lang_envs.markup import markup_of
from lang_envs.seeds import REPORT, YARDSTICKS

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from lang_envs.vector import TokenVectorEnv

SAMPLES = 3  # number of transcripts kept of every cell and every baseline


def measured(
    experiment: Experiment,
    cell: Cell,
    seed: int,
    data: Path,
    folder: Path,
    agents: Mapping[str, Path],
    held_out: Path | None = None,
) -> dict[str, Any]:
    """Trains one cell (``training.trained_agent``), chooses its decoding, and measures it on the reported episodes.

    Args:
        experiment: the experiment of the cell.
        cell: the cell to train and measure.
        seed: seed of the training.
        data: folder of the logs.
        folder: folder of the cell; the agent is saved there with the chosen decoding.
        agents: folders of other cells' agents, by their use (the keys of ``Unit.needs``).
        held_out: folder of logs that no agent learns from, if the experiment has any.

    Returns:
        The JSON-able result. ``metrics``: name -> number. ``curve``: metrics over training steps. ``decoding``: the
        chosen decoding, which all metrics without a protocol's name are of. ``decodings``: the return of each decoding
        on the selection episodes. ``protocols``: for greedy and sampled, the chosen decoding and its return, and the
        same for imitation alone. ``starts``: the numbers of contexts, and whether they are split. ``samples``:
        transcripts in HTML with their starts. ``seconds``: of training and evaluation.
    """
    others = {use: Agent.load(path) for use, path in agents.items()}
    agent, training = trained_agent(experiment, cell, seed, data, folder, others.get("start"))
    began = time.perf_counter()
    agent.model.eval()
    env = evaluate.make_env(experiment, min(evaluate.ROWS, experiment.episodes))
    choosing = evaluate.selection_env(experiment, min(evaluate.ROWS, experiment.selection_episodes))
    chosen_by, reported = starts.selection(experiment, choosing), starts.report(experiment, env)
    speaker = Speaker(agent, others.get("candidates_from", agent), training["decoding"])
    one = len(cell.decodings) == 1 and not cell.group
    tried = [Tried(cell.decodings[0])] if one else try_decodings(choosing, speaker, cell.decodings, chosen_by)
    decoding = best(tried)
    beside, played = _play_protocols(env, speaker, best_of_each(tried), decoding, reported)
    policy = speaker.policy(decoding)  # made last, because the agent is saved with the settings of the last policy
    reference = agent if experiment.reference == cell.label else others.get("reference")
    kept_away = None if held_out is None else EpisodeDataset.load(held_out)
    metrics = _measured(experiment, Played(env, played, reference, policy, kept_away)) | _flat(beside)
    if experiment.advantage_states and agent.values_tokens:
        states = Part(REPORT.first(), experiment.advantage_states, reported.contexts).starts()
        known = {"played": played_values(agent, env, states)}
        metrics |= {f"advantage/{name}": rho for name, rho in quality_beside(agent.model, known).items()}
    once = protocol_of(decoding) == "greedy"
    if experiment.best_of > 1:
        where = reported.starts(once)
        metrics |= evaluate.best_of(env, speaker.proposer.policy(), experiment.best_of, played, where)
    for other in experiment.elsewhere:
        there = language_vec(other.env, min(evaluate.ROWS, experiment.episodes), **other.options)
        episodes = evaluate.play_from(there, policy, starts.elsewhere(reported, env, there).starts(once))
        metrics |= _elsewhere(other, Played(there, episodes, reference, policy))
    agent.save(folder / "agent")
    curve = read_curve(folder / "fit") if cell.trained else []
    return {
        "kind": "agent",
        "metrics": {**metrics, **_last_values(curve)},
        "curve": curve,
        "decoding": decoding,
        "decodings": [] if one else [{"decoding": way.decoding, "return": way.mean} for way in tried],
        "protocols": beside,
        "starts": {
            "split": starts.are_split(experiment, env),
            "selection": chosen_by.contexts and len(chosen_by.contexts),
            "report": reported.contexts and len(reported.contexts),
        },
        "samples": _samples(agent.lm.tokenizer, played, agent),
        "seconds": {"train": training["seconds"], "evaluate": time.perf_counter() - began},
    }


def _play_protocols(
    env: TokenVectorEnv,
    speaker: Speaker,
    chosen: Mapping[str, Mapping[str, Decoding]],
    headline: Decoding,
    reported: Part,
) -> tuple[dict[str, dict[str, Any]], Episodes]:
    """The returns of each protocol's decodings on the reported episodes, and the episodes of the headline decoding."""
    known: dict[str, Episodes] = {}  # decoding as JSON -> its episodes; the best decoding may also be the imitation

    def of(decoding: Decoding) -> Episodes:
        name = json.dumps(decoding, sort_keys=True)
        if name not in known:
            where = reported.starts(once=protocol_of(decoding) == "greedy")
            known[name] = evaluate.play_from(env, speaker.policy(decoding), where)
        return known[name]

    beside = {
        protocol: {
            kind: {"decoding": d, **evaluate.mean_return(of(d)), **evaluate.counts(of(d))}
            for kind, d in decodings.items()
        }
        for protocol, decodings in chosen.items()
    }
    return beside, of(headline)


def _flat(beside: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> dict[str, float]:
    """As metrics: ``greedy/return`` and others of the best decoding; ``greedy/imitation``, the return of imitation."""
    metrics: dict[str, float] = {}
    for protocol, kinds in beside.items():
        metrics |= {f"{protocol}/{name}": x for name, x in kinds["best"].items() if name != "decoding"}
        if "imitation" in kinds:
            metrics[f"{protocol}/imitation"] = kinds["imitation"]["return"]
    return metrics


def _measured(experiment: Experiment, played: Played) -> dict[str, float]:
    """All metrics of the episodes of an agent or a baseline."""
    episodes = played.episodes
    return evaluate.metrics(episodes) | evaluate.counts(episodes) | measure(experiment.measures, played)


def _elsewhere(other: Elsewhere, played: Played) -> dict[str, float]:
    """The metrics of episodes in another environment, named ``return/LABEL`` and so on."""
    known = evaluate.metrics(played.episodes)
    found: dict[str, float] = {name: known[name] for name in ("return", "success") if name in known}
    found |= measure(other.measures, played)
    return {f"{name}/{other.label}": value for name, value in found.items()}


def _last_values(curve: list[dict[str, float]]) -> dict[str, float]:
    """The last measurement of everything measured during training."""
    last = [row for row in curve if any(name.startswith("eval/") for name in row)][-1:]
    return {name.removeprefix("eval/"): x for row in last for name, x in row.items() if name.startswith("eval/")}


def _samples(tokenizer: PreTrainedTokenizerFast, played: Episodes, agent: Agent | None = None) -> list[dict[str, Any]]:
    """The first distinct reported episodes as HTML, coloured by advantage if the agent has values.

    Each sample has the episode's ``return`` and its ``seed``, by which the report matches samples of the same start. In
    a conversation it also has the messages ``before`` the agent's first token. The first sample is always of the first
    reported start.
    """
    markup = markup_of(tokenizer)
    distinct: dict[bytes, Episode] = {}
    for episode in played:
        distinct.setdefault(episode.tokens.tobytes(), episode)
    samples = []
    for episode in list(distinct.values())[:SAMPLES]:
        if agent is not None and agent.needs_values:
            explanation = explain(agent.model, tokenizer, episode, agent.lm.max_utterance_tokens)
        else:
            explanation = Explanation.without_values(tokenizer, episode)
        sample = {"html": explanation.html(), "return": episode.ret, "seed": episode.info["seed"]}
        if markup is not None:
            begun = episode.tokens[: int(episode.is_action.argmax())]  # every episode has an action
            sample["before"] = [message for message in to_json(markup.read(begun)) if message["content"]]
        samples.append(sample)
    return samples


def play_baseline(experiment: Experiment, baseline: Baseline) -> dict[str, Any]:
    """Plays the reported episodes with a policy that is not trained; returns its JSON-able result."""
    began = time.perf_counter()
    env = evaluate.make_env(experiment, min(evaluate.ROWS, experiment.episodes))
    policy = make_policy(baseline.policy, env, **baseline.options)
    played = evaluate.play_from(env, policy, starts.report(experiment, env).starts())
    return {
        "kind": "baseline",
        "metrics": _measured(experiment, Played(env, played)),
        "samples": _samples(env.tokenizer, played),
        "seconds": {"evaluate": time.perf_counter() - began},
    }


def yardsticks(experiment: Experiment, data: Path) -> dict[str, Any]:
    """The references of the rank test: the behaviour's values, those of optimal play, and the attainable scores.

    Raises:
        ValueError: the cells have different discounts, or the first words of the logs cannot be compared.
    """
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
