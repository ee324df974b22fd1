"""The random generators of many episodes; each is made when it is first used."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

OF_POLICY = (1,)
"""The key of the stream that a policy draws from in the episode of a seed; an environment's stream has no key."""


def generator(seed: int | None, key: tuple[int, ...] = ()) -> np.random.Generator:
    """The generator of the stream ``key`` of a seed; None draws a fresh seed."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


class Generators(Sequence[np.random.Generator]):
    """The generators of some rows; each is made when it is first used, because seeding one takes longer than a turn.

    ``streams`` holds, for each row of the environment, a generator or a seed; None draws a fresh seed. ``key`` chooses
    the stream of a seed.
    """

    def __init__(self, streams: list[Any], rows: Sequence[int], key: tuple[int, ...] = ()) -> None:
        self._streams, self._rows, self._key = streams, rows, key

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> np.random.Generator:  # type: ignore[override]  # slices are not needed
        row = self._rows[index]
        stream = self._streams[row]
        if not isinstance(stream, np.random.Generator):
            self._streams[row] = stream = generator(stream, self._key)
        return stream

    def take(self, indices: Sequence[int]) -> Generators:
        """The generators of the rows at these positions."""
        return Generators(self._streams, [self._rows[i] for i in indices], self._key)

    def __iter__(self) -> Iterator[np.random.Generator]:
        return map(self.__getitem__, range(len(self._rows)))
