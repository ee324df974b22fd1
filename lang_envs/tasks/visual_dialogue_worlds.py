"""The interface of the worlds of visual dialogue, and how a world is made from its name or file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lang_envs.corpora.scenes.world import SceneWorld


class World(Protocol):
    """Images with captions, an answerer of questions about them, and a guesser of the image."""

    @property
    def captions(self) -> Sequence[str]:
        """One caption for each image."""
        ...

    def begin(self, contexts: Sequence[int]) -> tuple[Any, NDArray[np.float64]]:
        """The guesser's view of each of n dialogues after the caption, and its percentiles [n]."""
        ...

    def ask(
        self, contexts: Sequence[int], views: Sequence[Any], questions: Sequence[str]
    ) -> tuple[list[str], Any, NDArray[np.float64]]:
        """The answers to one question about each image; the guesser's new views, and its percentiles [n]."""
        ...


def make_world(
    source: str,
    pool: int,
    difficulty: float,
    split: str,
    seed: int,
    features: str | os.PathLike[str] | None,
    threshold: float,
) -> World:
    """The world of a name or a file, and of the task's options.

    Making a world takes up to half a minute, and worlds are never changed, so tasks share them.

    Raises:
        ValueError: an option does not belong to this world, or a file has another form than expected.
    """
    of_scenes, of_files = (pool, difficulty, split) != (1000, 3.0, "train"), (features, threshold) != (None, 0.6)
    if source == "scenes":
        if of_files:
            raise ValueError("features and threshold are of real dialogues; the built-in scenes have none")
        return _scenes(pool, difficulty, split, seed)
    if of_scenes:
        raise ValueError(f"pool, difficulty and split are of the built-in scenes, not of world={source!r}")
    return _dialogues(source, None if features is None else os.fspath(features), threshold, seed)


@lru_cache(maxsize=4)
def _scenes(pool: int, difficulty: float, split: str, seed: int) -> World:
    return SceneWorld(pool, difficulty, split, seed)


@lru_cache(maxsize=2)
def _dialogues(source: str, features: str | None, threshold: float, seed: int) -> World:
    from lang_envs.corpora.visdial.world import VisdialWorld

    return VisdialWorld.read(source, features, threshold, seed)
