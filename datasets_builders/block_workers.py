"""Blocks of a recording that other processes make: of this machine, or of a Ray cluster.

A block is a pure function of its number. Which process makes it, and when, therefore changes no byte: this process
takes the blocks in the order of their numbers and writes them as if it had made them.
"""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import count, islice
from typing import Any, Literal, Protocol

import pyarrow as pa

from datasets_builders.ray_cluster import connected
from datasets_builders.storage import encode
from lang_envs.episode import Episode, Episodes
from lang_envs.plugins import import_named, named
from lang_envs.worker_processes import end, pool, start_worker, without_interrupts

Block = Callable[[int], Iterable[Episode]]
"""The episodes of block k (0, 1, ...): the same ones whenever and wherever it is asked."""
Executor = Literal["processes", "ray"]
_AHEAD = 1  # blocks for each worker that are asked for before the last one is taken: nobody waits for this process


class Opening(Protocol):
    """Makes the block function, with its environment and its policies, in the process that calls it; can be pickled."""

    def __call__(self) -> Block:
        """Takes a while: tasks read their corpora, and models are loaded."""
        ...


@dataclass(frozen=True)
class Workers:
    """Who makes the blocks of a recording.

    Attributes:
        opening: how each of them begins.
        number: of processes. On a cluster too it is as many, one to a core.
        executor: ``processes`` of this machine, or ``ray`` for those of a cluster.

    Raises:
        ValueError: where there would be none, or there is no such executor.
    """

    opening: Opening
    number: int
    executor: Executor = "processes"

    def __post_init__(self) -> None:
        if self.number < 1:
            raise ValueError(f"workers must be at least 1, got {self.number}")
        if self.executor not in ("processes", "ray"):
            raise ValueError(f"the executor is 'processes' or 'ray', got {self.executor!r}")

    def blocks(self, first: int, columns: pa.Schema) -> Generator[pa.RecordBatch | None]:
        """Block ``first`` and all that follow, in order; None in the place of one without episodes. Close it to end.

        Raises:
            ValueError: where a worker is killed, or ray is not installed.
        """
        made = _by_ray if self.executor == "ray" else _by_processes
        return made(self, first, columns)


def encoded(block: Iterable[Episode], most: int | None, columns: pa.Schema) -> pa.RecordBatch | None:
    """The first ``most`` episodes of a block as they are written; None where it has none."""
    some = list(islice(block, most))
    return encode(Episodes.from_list(some), columns) if some else None


class _Maker:
    """What a worker holds: its own environment and policies, made when they are first needed."""

    def __init__(self, opening: Opening, columns: pa.Schema, modules: Sequence[str] = ()) -> None:
        for module in modules:
            import_named(module)
        self._opening, self._columns = opening, columns
        self._block: Block | None = None

    def make(self, k: int) -> pa.RecordBatch | None:
        """Block k."""
        if self._block is None:
            self._block = self._opening()
        return encoded(self._block(k), None, self._columns)


_maker: _Maker  # of this process, where it is a worker


def _begin(opening: Opening, columns: pa.Schema, modules: Sequence[str]) -> None:
    global _maker
    start_worker(modules)
    _maker = _Maker(opening, columns)


def _make(k: int) -> pa.RecordBatch | None:
    return _maker.make(k)


def _by_processes(workers: Workers, first: int, columns: pa.Schema) -> Generator[pa.RecordBatch | None]:
    others = {*multiprocessing.active_children()}
    processes = pool(workers.number, _begin, workers.opening, columns, named())
    asked: deque[Future[pa.RecordBatch | None]] = deque()
    try:
        for k in count(first):
            with without_interrupts():  # which the processes that are started here inherit
                asked.append(_ask(processes, k))
            if len(asked) > workers.number * (1 + _AHEAD) - 1:
                yield asked.popleft().result()
    except BrokenProcessPool:
        raise ValueError(
            "A worker process was killed, perhaps for want of memory. What was written is kept: record again with the "
            "same arguments and fewer workers to go on."
        ) from None
    finally:  # most often in the midst of blocks that nobody needs any more
        end([child for child in multiprocessing.active_children() if child not in others])
        processes.shutdown(wait=False, cancel_futures=True)


def _ask(processes: ProcessPoolExecutor, k: int) -> Future[pa.RecordBatch | None]:
    """Asks for block k, which may start a process and send it what plays.

    Raises:
        ValueError: that cannot be sent.
    """
    try:
        return processes.submit(_make, k)
    except BrokenProcessPool:
        raise
    except Exception as error:  # what is raised depends on what cannot be sent
        raise ValueError(
            f"What plays cannot be sent to another process ({error}): define its class in a module of its own and not "
            "in a function, or leave workers at 1."
        ) from None


def _by_ray(workers: Workers, first: int, columns: pa.Schema) -> Generator[pa.RecordBatch | None]:
    """A process that is lost with its machine is started again elsewhere, and makes its blocks anew."""
    ray = connected(workers.number)
    maker = ray.remote(num_cpus=1, max_restarts=-1, max_task_retries=-1)(_Maker)
    makers = [maker.remote(workers.opening, columns, named()) for _ in range(workers.number)]
    asked: deque[Any] = deque()
    try:
        for k in count(first):
            asked.append(makers[k % len(makers)].make.remote(k))
            if len(asked) > workers.number * (1 + _AHEAD) - 1:
                yield ray.get(asked.popleft())
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None
    except ray.exceptions.RayError as error:
        raise ValueError(
            f"A worker was lost ({type(error).__name__}), perhaps for want of memory. What was written is kept: record "
            "again with the same arguments to go on."
        ) from None
    finally:
        for one in makers:
            ray.kill(one)
