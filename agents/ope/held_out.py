"""Whether episodes are held out: how many of them are among those that an agent learned from."""

from __future__ import annotations

from typing import Any

import numpy as np

from datasets_builders.dataset import EpisodeDataset
from datasets_builders.provenance import RESULTS

_NO_MATTER = (*RESULTS, "versions", "name", "description")  # facts that do not determine the episodes


def shared(data: EpisodeDataset, learned: EpisodeDataset) -> int:
    """The number of episodes of ``data`` that are in ``learned`` too. The folders and sizes may differ.

    Recordings of the same policy in the same environment share the episodes with the same seeds. Other data sets are
    compared as a whole: all episodes are shared if both hold the same episodes in the same order, otherwise none.
    """
    ours, theirs = _seeds(data), _seeds(learned)
    if _facts(data) == _facts(learned) and None not in (*ours, *theirs):
        known = {*theirs}
        return sum(seed in known for seed in ours)
    return len(data) if ours == theirs and _same(data, learned) else 0


def _facts(data: EpisodeDataset) -> dict[str, Any]:
    """The facts that determine the episode of each seed."""
    return {name: fact for name, fact in data.provenance.items() if name not in _NO_MATTER}


def _seeds(data: EpisodeDataset) -> list[int | None]:
    """The seed of each episode; None if it has none."""
    return [info.get("seed") for info in data.rows(np.arange(len(data)), info=True).info]


def _same(data: EpisodeDataset, learned: EpisodeDataset) -> bool:
    """Whether two data sets hold the same episodes."""
    if not np.array_equal(data.lengths, learned.lengths) or not np.array_equal(data.returns, learned.returns):
        return False
    ours, theirs = (d.rows(np.arange(len(d))) for d in (data, learned))
    return np.array_equal(ours.tokens, theirs.tokens) and np.array_equal(ours.is_action, theirs.is_action)
