"""Records the logs that agents learn from: by a recipe, or as samples of a trained agent."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agents.agent import Agent
from agents.benchmark.experiment import Data, Samples
from agents.decoding.beams import BeamSearch
from datasets_builders import build
from datasets_builders.dataset import EpisodeDataset
from datasets_builders.samples import Sampling, record_samples
from lang_envs.make import language_vec, of_file

ROWS = 128  # episodes played at once
SAMPLES_SEED = 1 << 21  # above the seeds of the logs; see lang_envs.seeds.RECORDING


def record(folder: Path, data: Data, say: Callable[[str], None]) -> None:
    """Records a data set, unless its folder exists; an interrupted recording is continued.

    Args:
        folder: where the data set goes.
        data: the recipe and its options.
        say: takes a line of progress.
    """
    if folder.exists():
        return
    began = time.perf_counter()
    build(data.recipe, episodes=data.episodes, out=folder, seed=data.seed, **data.options)
    say(f"recorded {data.episodes or 'all'} episodes of {data.recipe}: {time.perf_counter() - began:.0f} s")


def sampled(samples: Samples, seed: int, agent: Agent, learned_from: Path, folder: Path) -> dict[str, Any]:
    """Records samples of ``agent`` in the environment that its logs were recorded in.

    Args:
        samples: what to record in each context.
        seed: seed of the training run; each run has its own samples.
        agent: the trained agent.
        learned_from: folder of its logs.
        folder: where the data set goes; an existing one is used.

    Returns:
        The JSON-able result: ``metrics`` (the mean return) and ``seconds``.
    """
    began = time.perf_counter()
    if not folder.exists():
        at = EpisodeDataset.load(learned_from).provenance["env"]
        env_id, options = of_file(at["id"], at["kwargs"], str(learned_from))
        env = language_vec(env_id, ROWS, **options)
        agent.model.eval()
        policies = {samples.of: agent.policy()} if samples.drawn else {}
        search = BeamSearch(agent, samples.beams) if samples.beams else None
        sampling = Sampling(policies, samples.drawn, samples.human, search)
        source = {"cell": samples.of}
        record_samples(env, sampling, folder, samples.episodes, SAMPLES_SEED + seed, source=source)
    dataset = EpisodeDataset.load(folder)
    return {
        "kind": "logs",
        "metrics": {"return": float(dataset.returns.mean())},
        "seconds": {"record": time.perf_counter() - began},
    }
