"""A progress bar for what takes longer than two seconds, where a person is looking."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PATIENCE = 2.0  # seconds before the bar appears
_PAUSE = 0.1  # seconds between two updates


@contextmanager
def progress_bar(label: str, total: int, wanted: bool = True) -> Iterator[Callable[[int], None]]:
    """Gives a function that takes how many of ``total`` are done; it is silent where stderr is no terminal."""
    if not wanted or not sys.stderr.isatty():
        yield lambda done: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from lang_envs.terminal import Terminal

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=Terminal(stderr=True))
    task = bar.add_task(label, total=total)
    next_update = time.monotonic() + PATIENCE

    def show(done: int) -> None:
        nonlocal next_update
        now = time.monotonic()
        if now >= next_update:
            bar.start()
            bar.update(task, completed=done)
            next_update = now + _PAUSE

    try:
        yield show
    finally:
        bar.stop()
