"""Whether episodes are held out: which of them are among those an agent learned from."""

from __future__ import annotations

from typing import Any

import numpy as np

from datasets_builders.dataset import EpisodeDataset
from datasets_builders.provenance import RESULTS

_NO_MATTER = (*RESULTS, "versions", "name", "description")  # to what an episode of a recording is


def shared(data: EpisodeDataset, learned: EpisodeDataset) -> int:
    """How many episodes of ``data`` are in ``learned`` too, wherever their folders are and however many they hold.

    Recordings of the same policy in the same environment share the episodes that have the same seeds. Others are
    compared as wholes: all are shared where both data sets hold the same episodes, in the same order.
    """
    ours, theirs = _seeds(data), _seeds(learned)
    if _facts(data) == _facts(learned) and None not in (*ours, *theirs):
        known = {*theirs}
        return sum(seed in known for seed in ours)
    return len(data) if ours == theirs and _same(data, learned) else 0


def _facts(data: EpisodeDataset) -> dict[str, Any]:
    """What decides what an episode of each seed is."""
    return {name: fact for name, fact in data.provenance.items() if name not in _NO_MATTER}


def _seeds(data: EpisodeDataset) -> list[int | None]:
    """The seed of each episode; None where it has none."""
    return [info.get("seed") for info in data.rows(np.arange(len(data)), info=True).info]


def _same(data: EpisodeDataset, learned: EpisodeDataset) -> bool:
    """Whether two data sets hold the same episodes."""
    if not np.array_equal(data.lengths, learned.lengths) or not np.array_equal(data.returns, learned.returns):
        return False
    ours, theirs = (d.rows(np.arange(len(d))) for d in (data, learned))
    return np.array_equal(ours.tokens, theirs.tokens) and np.array_equal(ours.is_action, theirs.is_action)
