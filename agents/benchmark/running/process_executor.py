"""Works through a benchmark in the processes of one machine, one thread each."""

from __future__ import annotations

import multiprocessing
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from lang_envs.plugins import named
from lang_envs.worker_processes import end, pool, start_worker, without_interrupts

if TYPE_CHECKING:
    from agents.benchmark.running.units import Unit
    from agents.benchmark.running.work import Done


def finish(pending: Sequence[Unit], workers: int) -> Generator[Done]:
    """Works through the units and yields each as it finishes or fails.

    Args:
        pending: units, each after those it needs.
        workers: number of processes; with 1 the units run in this process.

    Raises:
        ValueError: a worker process was killed.
    """
    from agents.benchmark.running.work import attempt

    workers, failed = min(workers, len(pending)), set[Path]()
    if workers <= 1:
        with one_thread():
            for unit in pending:
                done = attempt(unit, failed)
                failed |= {done.folder} if done.failure else set()
                yield done
        return
    waiting, unfinished = list(pending), {unit.folder for unit in pending}
    running: set[Future[Done]] = set()
    others = {*multiprocessing.active_children()}
    processes = pool(workers, _start_worker, named())
    try:
        while waiting or running:
            ready = [u for u in waiting if unfinished.isdisjoint(needed.folder for needed in u.needs.values())]
            ready = ready[: workers - len(running)]  # no more: a unit that becomes ready later may come first in order
            with without_interrupts():  # processes that are started here inherit this
                running |= {processes.submit(attempt, unit, frozenset(failed)) for unit in ready}
            waiting = [unit for unit in waiting if not any(unit is other for other in ready)]
            finished, running = wait(running, return_when=FIRST_COMPLETED)
            for done in (future.result() for future in finished):
                unfinished.discard(done.folder)
                failed |= {done.folder} if done.failure else set()
                yield done
    except BrokenProcessPool:
        raise ValueError(
            "A worker process was killed, perhaps because memory ran out. Finished pieces are kept: run the same "
            "command again, with fewer workers."
        ) from None
    except BaseException:  # an interrupt, or the caller has closed this generator
        end([child for child in multiprocessing.active_children() if child not in others])
        raise
    finally:
        processes.shutdown(cancel_futures=True)


def _start_worker(modules: Sequence[str]) -> None:
    """Sets up a worker: it imports ``modules``, ends with its parent, has one thread and keeps freed memory."""
    import torch

    from agents.allocator import keep_freed_memory

    start_worker(modules)
    torch.set_num_threads(1)
    keep_freed_memory()


@contextmanager
def one_thread() -> Iterator[None]:
    """Limits torch to one thread: sums depend on the number of threads, and results must not."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
