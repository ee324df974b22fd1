"""The random generators of many episodes, each made where it is first asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np


class Generators(Sequence[np.random.Generator]):
    """The generators of some rows, made where they are first asked for: to seed one takes longer than a turn.

    ``streams`` holds, for each row of the environment, a generator or the seed of one; None draws a fresh seed.
    """

    def __init__(self, streams: list[Any], rows: Sequence[int]) -> None:
        self._streams, self._rows = streams, rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> np.random.Generator:  # type: ignore[override]  # nobody asks for a slice
        row = self._rows[index]
        stream = self._streams[row]
        if not isinstance(stream, np.random.Generator):
            self._streams[row] = stream = np.random.default_rng(stream)
        return stream

    def take(self, indices: Sequence[int]) -> Generators:
        """Those of some of the rows."""
        return Generators(self._streams, [self._rows[i] for i in indices])

    def __iter__(self) -> Iterator[np.random.Generator]:
        return map(self.__getitem__, range(len(self._rows)))
