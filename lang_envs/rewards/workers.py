"""InWorkers: computes a reward model in several processes."""

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
"""(texts, ...) -> [n], one number for each text, which must not depend on the other texts of the call"""
_FEW = 4  # texts for each worker; fewer are scored in this process


class InWorkers:
    """Computes a reward with several copies of its model, each in a process with one thread; the numbers are the same.

    The texts of a call are distributed so that each copy gets equally many long texts. The processes start with the
    first call. They end with this process or by ``close``.

    Example:
        >>> env = gym.make_vec("Dialogue-BERTScore-v0", 64, reward=InWorkers(BERTScore(), 4))

    Args:
        reward: takes one list of texts, or several lists of the same length, such as ``BERTScore()``, a classifier, or
            a function of a module. It is sent to the workers, so it must be picklable.
        number: number of workers, at least 1.
    """

    def __init__(self, reward: Reward, number: int) -> None:
        if number < 1:
            raise ValueError(f"a reward needs at least 1 worker, got {number}")
        self.reward, self.number = reward, number
        self._pool: ProcessPoolExecutor | None = None

    def __call__(self, *texts: Sequence[str]) -> NDArray[np.float64]:
        """One number for each text, [n].

        Raises:
            ValueError: a worker is killed.
        """
        count = len(texts[0])
        if count < _FEW * self.number:
            return np.asarray(self.reward(*texts), np.float64)
        order = sorted(range(count), key=lambda row: sum(len(column[row]) for column in texts))
        shares = [order[first :: self.number] for first in range(self.number)]
        found = np.empty(count)
        try:
            with without_interrupts():  # the processes that are started here inherit it
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
