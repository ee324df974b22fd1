"""Processes that work for this one, and end when it does."""

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

GRACE = 1.0  # seconds in which a worker ends when it is told to


def start_worker(modules: Sequence[str] = ()) -> None:
    """What a worker does first: from here on it lives no longer than its parent, which answers Ctrl-C for it.

    A killed run must not go on beside the one that replaces it.

    Args:
        modules: those that a person named there (``lang_envs.plugins.named``), which are imported here too.
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
    """Processes that are started anew, each with one thread: a fork would copy the state of other libraries' threads.

    Args:
        number: of processes.
        begin: what each does first.
        *given: its arguments.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # of the processes: more threads are several times slower
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(number, mp_context=context, initializer=begin, initargs=given)


@contextmanager
def without_interrupts() -> Iterator[None]:
    """SIGINT waits until the end of the block; in processes that are started in it, to their end."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end(workers: Sequence[BaseProcess]) -> None:
    """Ends processes in the midst of their work; what they write must be whole or not there at any time."""
    for worker in workers:
        worker.terminate()
    told = time.monotonic()
    for worker in workers:
        worker.join(max(0.0, told + GRACE - time.monotonic()))
    for worker in workers:
        if worker.is_alive():
            worker.kill()
