"""Recorded data sets with damaged files: opened, read, described, decoded and learned from."""

from __future__ import annotations

import dataclasses
import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from folders import Damaged, damaged
from outcome import Outcome, same, using
from worker import Kind

from agents import BC, LM
from agents.data.batch import collate
from agents.data.source import Logged
from datasets_builders import EpisodeDataset, record
from lang_envs.episode import Episode
from lang_envs.policies.movie_review import Reviewer
from lang_envs.tasks.movie_review import MovieReview


@dataclass(frozen=True)
class World:
    """Sound folders, what is in them, and an agent that learns from them."""

    bases: dict[str, Path]
    wanted: dict[str, Any]
    agent: BC


def prepare(folder: Path) -> World:
    """One data set that was recorded, in several blocks, and one that was saved, with log-probabilities."""
    recorded = record("MovieReview-v0", Reviewer(MovieReview()), 24, folder / "recorded", block_size=8, progress=False)
    known = [_with_logprobs(episode) for episode in recorded]
    EpisodeDataset.from_episodes(known, recorded.provenance, recorded.tokenizer()).save(folder / "saved")
    agent = BC(LM.from_scratch("d64-l2", gym.make_vec("MovieReview-v0", num_envs=1)))
    bases = {name: folder / name for name in ("recorded", "saved")}
    return World(bases, {name: used(path, agent) for name, path in bases.items()}, agent)


def _with_logprobs(episode: Episode) -> Episode:
    logprobs = np.where(episode.is_action, np.float32(-0.5), np.float32(np.nan))
    return dataclasses.replace(episode, logprobs=logprobs)


def used(path: Path, agent: BC) -> Any:
    """All that a data set tells, and the loss on its first episodes."""
    dataset = EpisodeDataset.load(path)
    with using():
        told = contents(dataset)
        dataset.filter(top_fraction=0.5)
        dataset.merge(dataset)
        dataset.to_hf()
        logs = Logged(dataset)
        logs.check_tokenizer(agent.lm.tokenizer)
        batch = collate(logs.sample(4), agent.lm.pad_id, agent.lm.end_id, agent.lm.max_utterance_tokens)
        loss, _ = agent.loss(batch)
        return told, repr(loss.item())


def contents(dataset: EpisodeDataset) -> Any:
    """Everything in a data set, as text that can be compared (NaN with NaN)."""
    episodes = [
        (
            episode.tokens.tolist(),
            episode.is_action.tolist(),
            episode.rewards.tobytes(),
            None if episode.logprobs is None else episode.logprobs.tobytes(),
            episode.terminated,
            episode.truncated,
            json.dumps(episode.info, sort_keys=True),
        )
        for episode in dataset
    ]
    told = [json.dumps(fact, sort_keys=True) for fact in (dataset.provenance, dataset.describe())]
    return repr((episodes, told, str(dataset), repr(dataset), _texts(dataset)))


def _texts(dataset: EpisodeDataset) -> list[str]:
    if dataset._tokenizer is None:
        return []
    return [dataset.tokenizer().decode(episode.tokens) for episode in dataset.rows(range(min(3, len(dataset))))]


def attempt(world: World, damage: Damaged, case: Path) -> Outcome:
    """No edit passes where there are checksums."""
    damage.apply(world.bases[damage.base], case / "data")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = used(case / "data", world.agent)
    return same(found, world.wanted[damage.base], "different" if damage.checksums else "accepted", damage.file)


KIND = Kind("data sets", prepare, lambda world: damaged(world.bases), attempt)
