"""A reward model in processes of its own, beside the one that plays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lang_envs.plugins import named
from lang_envs.worker_processes import pool, start_worker, without_interrupts

Reward = Callable[..., ArrayLike]
"""(texts, ...) -> [n], one number for each text, whatever else is in the call"""
_FEW = 4  # texts for each worker; fewer are scored at once


class InWorkers:
    """The same numbers from several copies of a reward model, each in a process with one thread.

    A call's texts are shared out, so that each copy gets as many long ones. The processes start with the first call and
    end with this process, or by ``close``.

    Example:
        >>> env = gym.make_vec("Dialogue-BERTScore-v0", 64, reward=InWorkers(BERTScore(), 4))

    Args:
        reward: takes one list of texts, or several of the same length, such as ``BERTScore()``, a classifier, or a
            function of a module; it is sent to the workers, so that it must be of a kind that can be pickled.
        number: of workers, at least 1.
    """

    def __init__(self, reward: Reward, number: int) -> None:
        if number < 1:
            raise ValueError(f"a reward needs at least 1 worker, got {number}")
        self.reward, self.number = reward, number
        self._pool: ProcessPoolExecutor | None = None

    def __call__(self, *texts: Sequence[str]) -> NDArray[np.float64]:
        """One number for each text, [n].

        Raises:
            ValueError: where a worker is killed.
        """
        count = len(texts[0])
        if count < _FEW * self.number:
            return np.asarray(self.reward(*texts), np.float64)
        order = sorted(range(count), key=lambda row: sum(len(column[row]) for column in texts))
        shares = [order[first :: self.number] for first in range(self.number)]
        found = np.empty(count)
        try:
            with without_interrupts():  # which the processes that are started here inherit
                scored = [
                    self._workers().submit(_score, [[column[row] for row in rows] for column in texts])
                    for rows in shares
                ]
            for rows, future in zip(shares, scored, strict=True):
                found[rows] = future.result()
        except BrokenProcessPool:
            self.close()
            raise ValueError("A reward's worker was killed, perhaps for want of memory: use fewer.") from None
        return found

    def close(self) -> None:
        """Ends the workers; another call starts new ones."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    def __reduce__(self) -> tuple[type[InWorkers], tuple[Reward, int]]:
        return InWorkers, (self.reward, self.number)

    def _workers(self) -> ProcessPoolExecutor:
        if self._pool is None:
            self._pool = pool(self.number, _begin, self.reward, named())
        return self._pool


_reward: Reward  # of this process, where it is a worker


def _begin(reward: Reward, modules: Sequence[str]) -> None:
    global _reward
    start_worker(modules)
    _reward = reward


def _score(texts: list[list[str]]) -> Any:
    return np.asarray(_reward(*texts), np.float64)
