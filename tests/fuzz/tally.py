"""Tries many inputs of a kind and counts the outcomes."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hypothesis
from hypothesis import HealthCheck, Phase
from outcome import BAD, OUTCOMES, Outcome
from worker import Kind, Worker


@dataclass
class Tally:
    """What became of the inputs of a kind."""

    kind: str
    counts: Counter[str] = field(default_factory=Counter)
    found: dict[tuple[str, str], tuple[int, str, str]] = field(default_factory=dict)
    """of each failure, by its outcome and its place: how often, the first damage, and why"""
    seconds: float = 0.0

    def add(self, damage: Any, outcome: Outcome) -> None:
        """Counts one."""
        self.counts[outcome.kind] += 1
        if outcome.kind in BAD:
            key = outcome.kind, outcome.place or outcome.why
            times, first, why = self.found.get(key, (0, shown(damage), outcome.why))
            self.found[key] = times + 1, first, why


def shown(damage: Any) -> str:
    """A damage in one short line."""
    text = " ".join(repr(damage).split())
    return text if len(text) <= 300 else f"{text[:290]} ..."


@contextlib.contextmanager
def worker_of(kind: Kind) -> Iterator[Worker]:
    """A worker with sound inputs, in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix=f"fuzz-{kind.name}-") as place:
        folder = Path(place).resolve()
        (folder / "sound").mkdir()
        worker = Worker(kind, kind.prepare(folder / "sound"), folder)
        try:
            yield worker
        finally:
            worker.close()


def settings(examples: int, **more: Any) -> hypothesis.settings:
    """Those of hypothesis: no data base and no shrinking, since a damage is small by construction."""
    checks = list(HealthCheck)
    phases = (Phase.generate,)
    return hypothesis.settings(
        max_examples=examples, database=None, deadline=None, phases=phases, suppress_health_check=checks, **more
    )


def fuzz(kind: Kind, examples: int, seed: int) -> Tally:
    """Tries so many inputs, whatever becomes of them."""
    tally, began = Tally(kind.name), time.monotonic()
    with worker_of(kind) as worker:
        for damage in kind.always(worker.world):
            tally.add(damage, worker.attempt(damage))

        @hypothesis.seed(seed)
        @settings(max(1, examples - sum(tally.counts.values())))
        @hypothesis.given(kind.damages(worker.world))
        def each(damage: Any) -> None:
            tally.add(damage, worker.attempt(damage))

        each()
    tally.seconds = time.monotonic() - began
    return tally


def table(tallies: Sequence[Tally]) -> str:
    """A line for each kind, as Markdown."""
    headings = ["input", "tried", *OUTCOMES.values()]
    lines = [f"| {' | '.join(headings)} |", f"|---|{'--:|' * (len(headings) - 1)}"]
    for tally in tallies:
        counts = [sum(tally.counts.values()), *(tally.counts[outcome] for outcome in OUTCOMES)]
        lines.append(f"| {tally.kind} | {' | '.join(map(str, counts))} |")
    return "\n".join(lines)


def failures(tallies: Sequence[Tally]) -> str:
    """Each kind of failure with its first example."""
    lines = []
    for tally in tallies:
        for (outcome, place), (times, damage, why) in sorted(tally.found.items(), key=lambda item: -item[1][0]):
            lines += [f"{tally.kind}: {outcome}, {times} times, {place}", f"    {why[:400]}", f"    {damage}"]
    return "\n".join(lines)
