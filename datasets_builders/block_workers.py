"""Makes the blocks of a recording in other processes, on this machine or in a Ray cluster.

A block is a pure function of its number. Therefore no byte depends on which process makes a block, or when. This
process takes the blocks in the order of their numbers and writes them as if it had made them itself.
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
"""Returns the episodes of block k (0, 1, ...). They depend on k alone."""
Executor = Literal["processes", "ray"]
_AHEAD = 1  # blocks asked for in advance for each worker, so that no worker waits for this process


class Opening(Protocol):
    """Makes the block function, with its environment and its policies, in the process that calls it; can be pickled."""

    def __call__(self) -> Block:
        """Makes the block function. This takes a while, because tasks read their corpora and models are loaded."""
        ...


@dataclass(frozen=True)
class Workers:
    """The processes that make the blocks of a recording.

    Attributes:
        opening: makes the block function in each process.
        number: the number of processes; in a cluster each takes one core.
        executor: ``processes`` of this machine, or ``ray`` for those of a cluster.

    Raises:
        ValueError: ``number`` is below 1, or the executor is unknown.
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
        """Block ``first`` and all that follow, in order, without end; None for a block without episodes.

        Closing the generator ends the processes.

        Raises:
            ValueError: a worker is killed, or ray is not installed.
        """
        made = _by_ray if self.executor == "ray" else _by_processes
        return made(self, first, columns)


def encoded(block: Iterable[Episode], most: int | None, columns: pa.Schema) -> pa.RecordBatch | None:
    """The first ``most`` episodes of a block as one record batch; None if the block has no episode."""
    some = list(islice(block, most))
    return encode(Episodes.from_list(some), columns) if some else None


class _Maker:
    """Makes blocks in a worker, with an environment and policies of its own, which are made for the first block."""

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
            with without_interrupts():  # the processes that are started here inherit it
                asked.append(_ask(processes, k))
            if len(asked) > workers.number * (1 + _AHEAD) - 1:
                yield asked.popleft().result()
    except BrokenProcessPool:
        raise ValueError(
            "A worker process was killed, perhaps for want of memory. What was written is kept: record again with the "
            "same arguments and fewer workers to go on."
        ) from None
    finally:  # most often while the workers make blocks that are no longer needed
        end([child for child in multiprocessing.active_children() if child not in others])
        processes.shutdown(wait=False, cancel_futures=True)


def _ask(processes: ProcessPoolExecutor, k: int) -> Future[pa.RecordBatch | None]:
    """Asks for block k, which may start a process and send it the environment and the policies.

    Raises:
        ValueError: they cannot be pickled.
    """
    try:
        return processes.submit(_make, k)
    except BrokenProcessPool:
        raise
    except Exception as error:  # the type depends on the object that cannot be pickled
        raise ValueError(
            f"The policy or the environment cannot be sent to another process ({error}): define its class in a module "
            "of its own and not in a function, or leave workers at 1."
        ) from None


def _by_ray(workers: Workers, first: int, columns: pa.Schema) -> Generator[pa.RecordBatch | None]:
    """If a machine is lost, Ray starts its processes again on another machine, and they make their blocks again."""
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
