"""The random generators of many episodes, each made where it is first asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

OF_POLICY = (1,)
"""The key of the stream that a policy draws from in the episode of a seed: no environment has any."""


def generator(seed: int | None, key: tuple[int, ...] = ()) -> np.random.Generator:
    """The generator of one of a seed's streams; of a fresh seed where it is None."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


class Generators(Sequence[np.random.Generator]):
    """The generators of some rows, made where they are first asked for: to seed one takes longer than a turn.

    ``streams`` holds, for each row of the environment, a generator or the seed of one; None draws a fresh seed. ``key``
    says which of a seed's streams.
    """

    def __init__(self, streams: list[Any], rows: Sequence[int], key: tuple[int, ...] = ()) -> None:
        self._streams, self._rows, self._key = streams, rows, key

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> np.random.Generator:  # type: ignore[override]  # nobody asks for a slice
        row = self._rows[index]
        stream = self._streams[row]
        if not isinstance(stream, np.random.Generator):
            self._streams[row] = stream = generator(stream, self._key)
        return stream

    def take(self, indices: Sequence[int]) -> Generators:
        """Those of some of the rows."""
        return Generators(self._streams, [self._rows[i] for i in indices], self._key)

    def __iter__(self) -> Iterator[np.random.Generator]:
        return map(self.__getitem__, range(len(self._rows)))
