"""The ``config.json`` of a benchmark, edited: read and checked, but not run."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from damage import Bytes, Edit, of_bytes, of_json, write_json
from hypothesis import strategies as st
from outcome import Outcome
from worker import Kind

from agents.benchmark import SUITES, Suite
from agents.benchmark.running import runner
from agents.benchmark.running.units import data_folder, units
from agents.benchmark.smoke import shrunk
from agents.benchmark.suite_file import suite_of_plain
from datasets_builders.atomic import read_object

NAMES = (
    "../../precious", "/tmp/precious", "..", ".", "", "a/b", "a\\b", "a\0b", "x" * 300, "\ud83d", "con", "-rf",
    "[red]x[/]", "\x1b[2J", "<script>", "a\nb", "random", "BC", "\u00e9", "e\u0301",
)  # fmt: skip
"""what an experiment or a label may be called"""


@dataclass(frozen=True)
class Damaged:
    """What is done to a suite's configuration."""

    suite: str
    damage: Bytes | tuple[Edit, ...]


def prepare(folder: Path) -> dict[str, Any]:
    """Suites with every kind of part: baselines, samples, other environments, groups."""
    names = ("quick", "trap", "dialogue", "wordle", "reddit", "human-feedback")
    return {name: shrunk(SUITES[name]).plain() for name in names}


@st.composite
def damages(draw: st.DrawFn, plain: dict[str, Any]) -> Damaged:
    """One or two edits, of names a third of the time."""
    suite = draw(st.sampled_from(sorted(plain)))
    document = plain[suite]
    if not draw(st.integers(0, 19)):
        return Damaged(suite, draw(of_bytes()))
    edits = []
    for _ in range(draw(st.integers(1, 2))):
        edit = draw(of_json(document) if draw(st.integers(0, 2)) else _renamed(document))
        edits.append(edit)
        document = edit.apply(document)
        if not isinstance(document, dict) or not isinstance(document.get("experiments"), list):
            break
    return Damaged(suite, tuple(edits))


@st.composite
def _renamed(draw: st.DrawFn, document: Any) -> Edit:
    """Another name for the suite, an experiment, a cell, a baseline or an environment elsewhere."""
    places: list[tuple[str | int, ...]] = [("name",)]
    for e, experiment in enumerate(document["experiments"]):
        if isinstance(experiment, dict):
            places.append(("experiments", e, "name"))
            for part in ("cells", "baselines", "elsewhere"):
                entries = experiment.get(part)
                for i, entry in enumerate(entries if isinstance(entries, list) else ()):
                    if isinstance(entry, dict):
                        places.append(("experiments", e, part, i, "label"))
    return Edit(draw(st.sampled_from(places)), "set", draw(st.sampled_from(NAMES)))


def always(plain: dict[str, Any]) -> list[Damaged]:
    """Every name as that of an experiment, of a cell and of a baseline, of a suite that is checked in no time."""
    places = (("name",), ("cells", 0, "label"), ("baselines", 1, "label"))
    edits = [Edit(("experiments", 0, *place), "set", name) for name in NAMES for place in places]
    return [Damaged("wordle", (edit,)) for edit in edits]


def attempt(plain: dict[str, Any], damage: Damaged, case: Path) -> Outcome:
    """Everything up to the first piece of work; no result may lie outside of the folder of results."""
    document, file, out = plain[damage.suite], case / "config.json", case / "out"
    if isinstance(damage.damage, Bytes):
        file.write_bytes(damage.damage.apply(json.dumps(document).encode()))
    else:
        for edit in damage.damage:
            document = edit.apply(document)
        file.write_bytes(write_json(document))
    suite = suite_of_plain(read_object(file))
    reached = list[Suite]()
    with contextlib.suppress(_Enough):
        runner._run = lambda *arguments: _reach(reached, suite)  # type: ignore[assignment]
        runner.run(suite, out, say=lambda line: None)
    assert reached
    used = [e.data for e in suite.experiments] + [e.held_out for e in suite.experiments if e.held_out]
    folders = [unit.folder for unit in units(suite, out)] + [data_folder(out, data) for data in used]
    for folder in folders:
        try:
            inside = folder.resolve().is_relative_to(out.resolve())
        except (ValueError, OSError):
            return Outcome("different", f"a folder that cannot be made: {folder!r:.90}", "a folder that cannot be made")
        if not inside:
            return Outcome("different", f"a folder outside of the results: {folder}", "a folder outside of the results")
    found = repr(json.loads(json.dumps(suite.plain())))
    return Outcome("right" if found == repr(plain[damage.suite]) else "accepted")


class _Enough(Exception):
    """All checks are passed."""


def _reach(reached: list[Suite], suite: Suite) -> Path:
    reached.append(suite)
    raise _Enough


KIND = Kind("suites", prepare, damages, attempt, always, names_folder=False)
