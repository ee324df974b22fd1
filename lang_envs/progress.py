"""Shows the progress of long work: a bar on a terminal, elsewhere a plain line every half minute.

Both go to standard error. Neither appears if the work is done before. The work reports its progress after each step. A
thread prints the lines, so that they also appear while a step takes minutes.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

T = TypeVar("T")
Show = Callable[..., None]
"""``show(done, note="")``: ``done`` items are done; the note is shown at the end of the line"""

PATIENCE = 2.0  # seconds before the bar appears
EVERY = 30.0  # seconds between two lines, and before the first
_PAUSE = 0.1  # seconds between two updates of the bar
_part_of: ContextVar[str | None] = ContextVar("part_of", default=None)


@contextmanager
def progress_bar(label: str, total: int | None, wanted: bool = True, start: int = 0) -> Iterator[Show]:
    """Gives a function that is called with the number of items that are done.

    Args:
        label: the name of the work.
        total: the number of items; None if it is unknown.
        wanted: whether to show anything.
        start: the number of items that were done before.
    """
    if not wanted:
        yield lambda done, note="": None
    elif sys.stderr.isatty() and _part_of.get() is None:
        with _bar(label, total, start) as show:
            yield show
    else:
        whole = _part_of.get()
        lines = Lines(label if whole is None else f"{whole}, {label}", total, start)
        over = threading.Event()
        thread = threading.Thread(target=lines.run, args=(over.wait,), daemon=True)
        thread.start()
        try:
            yield lines.show
        finally:
            over.set()


def counted(label: str, total: int, items: Iterable[T]) -> Iterator[T]:
    """The same items, with a progress bar."""
    with progress_bar(label, total) as show:
        for done, item in enumerate(items, 1):
            yield item
            show(done)


@contextmanager
def part_of(whole: str) -> Iterator[None]:
    """In the block, progress is shown only as lines that begin with ``whole``; use it for work done in parallel."""
    token = _part_of.set(whole)
    try:
        yield
    finally:
        _part_of.reset(token)


class Lines:
    """Shows progress as lines such as ``recording trap: 12,288 of 50,000 (25 %), 1:03, about 3:10 left``.

    Args:
        label: the name of the work.
        total: the number of items; None if it is unknown.
        start: the number of items that were done before.
        clock: returns a time in seconds; only differences are used.
    """

    def __init__(
        self, label: str, total: int | None, start: int = 0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._label, self._total, self._start, self._clock = label, total, start, clock
        self._began, self._done, self._note = clock(), start, ""
        self._to = sys.stderr  # kept here, because a library may redirect it meanwhile

    def show(self, done: int, note: str = "") -> None:
        """Reports that ``done`` items are done; the note stays until there is another."""
        self._done, self._note = done, note or self._note

    def run(self, wait: Callable[[float], bool]) -> None:
        """Prints a line every half minute until the work is over.

        Args:
            wait: waits for the given number of seconds, or until the work is over; returns whether it is over.
        """
        while not wait(EVERY):
            try:
                self._to.write(f"{self.line()}\n")
                self._to.flush()
            except (OSError, ValueError):  # standard error is closed
                return

    def line(self) -> str:
        """The line to print: items done, time taken, estimated time left, and the note."""
        taken, made = self._clock() - self._began, self._done - self._start
        parts = [f"{self._done:,}", _minutes(taken)] if self._done or self._total is not None else [_minutes(taken)]
        if self._total is not None:
            parts[0] += f" of {self._total:,} ({100 * self._done // max(1, self._total)} %)"
            if made > 0:
                parts.append(f"about {_minutes(taken * max(0, self._total - self._done) / made)} left")
        return f"{self._label}: {', '.join([*parts, *([self._note] if self._note else [])])}"


def _minutes(seconds: float) -> str:
    """The time as ``minutes:seconds``, or ``hours:minutes:seconds`` from one hour on."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


@contextmanager
def _bar(label: str, total: int | None, start: int) -> Iterator[Show]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from lang_envs.terminal import Terminal

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    bar = Progress(*columns, console=Terminal(stderr=True))
    task = bar.add_task(label, total=total, completed=start, note="")
    next_update, last = time.monotonic() + PATIENCE, start
    late = threading.Timer(PATIENCE, bar.start)  # the first step may take minutes
    late.daemon = True
    late.start()

    def show(done: int, note: str = "") -> None:
        nonlocal next_update, last
        last = done
        if note:
            bar.update(task, note=note)
        now = time.monotonic()
        if now >= next_update:
            bar.start()
            bar.update(task, completed=done)
            next_update = now + _PAUSE

    try:
        yield show
    finally:
        late.cancel()
        late.join()
        bar.update(task, completed=last)
        bar.stop()
