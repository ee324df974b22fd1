"""Starts and ends worker processes; a worker ends when its parent process ends."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from typing import Any

from lang_envs.plugins import import_named

GRACE = 1.0  # seconds after which a worker that was told to end is killed


def start_worker(modules: Sequence[str] = ()) -> None:
    """Sets up a worker: it ends when its parent ends, ignores Ctrl-C, and imports the modules that the user named.

    It ends with its parent so that a killed run does not keep working beside the run that replaces it.

    Args:
        modules: the modules that the user named in the parent (``lang_envs.plugins.named``).
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    for module in modules:
        import_named(module)


def pool(number: int, begin: Callable[..., None], *given: Any) -> ProcessPoolExecutor:
    """A pool of spawned processes, each with one thread. They are not forked, because a fork copies locks of threads.

    Args:
        number: the number of processes.
        begin: the function that each process calls first.
        *given: the arguments of ``begin``.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # the processes inherit it; more threads are several times slower
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(number, mp_context=context, initializer=begin, initargs=given)


@contextmanager
def without_interrupts() -> Iterator[None]:
    """Blocks SIGINT until the end of the block; processes that are started in the block keep it blocked."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end(workers: Sequence[BaseProcess]) -> None:
    """Ends processes while they work, so whatever they write must be written in one step."""
    for worker in workers:
        worker.terminate()
    told = time.monotonic()
    for worker in workers:
        worker.join(max(0.0, told + GRACE - time.monotonic()))
    for worker in workers:
        if worker.is_alive():
            worker.kill()
