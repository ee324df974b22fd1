"""Divides a suite into pieces of work, each with its folder, the pieces it needs, and what its result depends on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agents.benchmark.data import Data, Samples, file_name
from agents.benchmark.experiment import Baseline, Cell, ExactLearner, Experiment, Suite, folder_name, plain
from datasets_builders.atomic import read_object
from datasets_builders.checksums import CHECKSUMS, checksum
from lang_envs.file_names import folded

_TRAINING_OF_A_CELL = ("agent", "config", "fit", "trained", "first", "live")
_MEASURED_IN_TRAINING = ("rank_test", "exact_values", "advantage_quality", "measure_every")
_TRAINING_IN_AN_EXPERIMENT = ("env", "env_options", "lm", *_MEASURED_IN_TRAINING)
_OF_A_LARGE_MODEL = 100  # a step of a pretrained model takes at least as long as so many of a model from scratch
_OF_A_PRETRAINED_MODEL = ("lora", "dtype", "markup")  # no result of a model from scratch depends on them

Part = Cell | Samples | Baseline | ExactLearner | None


@dataclass(frozen=True)
class Unit:
    """One piece of work, and the folder its result goes to."""

    name: str
    folder: Path
    experiment: Experiment
    data: Path
    part: Part
    """a cell to train, samples of one to record, a baseline, an exact learner, or None for the yardsticks"""
    seed: int = 0
    needs: dict[str, Unit] = field(default_factory=dict)
    """use -> the piece that this one uses for it: trained agents as ``start``, ``candidates_from`` and ``reference``; a
    recording to learn from as ``logs``; the agent that a recording samples as ``of``"""
    held_out: Path | None = None
    """folder of logs that no agent learns from, if the experiment has any"""
    tensorboard: bool = False
    """whether the training is also logged for TensorBoard; the result does not depend on it"""

    @property
    def recorded(self) -> Path:
        """The folder of the logs that it records, if it is a recording."""
        return self.folder / "logs"

    @property
    def wave(self) -> int:
        """Length of the longest chain of pieces that must be finished before it."""
        return max((1 + unit.wave for unit in self.needs.values()), default=0)

    def agents(self) -> dict[str, Path]:
        """The folders of the agents it uses, by their use."""
        return {use: unit.folder / "agent" for use, unit in self.needs.items() if use != "logs"}

    def spec(self) -> dict[str, Any]:
        """Everything the result depends on, as JSON-able data."""
        read_later = {"cells", "baselines", "exact", "title", "about", "normalise", "published", "varies", "seeds"}
        if self.part is not None:
            read_later |= {"compare_taus", "yardstick_games"}
        read_later |= set() if self.experiment.pretrained else {*_OF_A_PRETRAINED_MODEL}
        read_later |= {"split_starts"} if self.experiment.split_starts else set()  # older results lack this default
        shared = {name: x for name, x in plain(self.experiment).items() if name not in read_later}
        if self.part is None:  # the yardsticks follow the cells' discount and expectile
            shared["settings"] = [
                [cell.config.get(name) for name in ("gamma", "tau")] for cell in self.experiment.cells
            ]
        part = plain(self.part) if self.part is not None else None
        if part is not None and isinstance(self.part, Cell):
            part = {name: x for name, x in part.items() if name not in ("line", "at")}
        spec = {"experiment": shared, "part": part, "seed": self.seed, "data": self.used_logs()}
        if self.held_out is not None and self.experiment.held_out and self.experiment.held_out.path:
            spec["held_out"] = _content(self.held_out)
        if self.needs:  # if a piece it uses changes, it is measured again
            spec["needs"] = {use: unit.spec() for use, unit in self.needs.items()}
        return json.loads(json.dumps(spec))

    def used_logs(self) -> str:
        """What identifies its logs: the name of their folder, and for logs at a ``path`` also a checksum."""
        data = (self.part.data if isinstance(self.part, Cell) else None) or self.experiment.data
        if not isinstance(data, Data) or not data.path:
            return self.data.name
        return f"{self.data.name} {_content(self.data)}"

    def training(self) -> dict[str, Any]:
        """What the trained agent, or the recorded logs, depend on, as JSON-able data; empty for other pieces."""
        match self.part:
            case Cell():
                cell = {name: getattr(self.part, name) for name in _TRAINING_OF_A_CELL}
                names = _TRAINING_IN_AN_EXPERIMENT + _OF_A_PRETRAINED_MODEL * self.experiment.pretrained
                shared = {name: getattr(self.experiment, name) for name in names}
                spec = {"experiment": shared, "cell": cell, "seed": self.seed, "data": self.used_logs()}
            case Samples():
                spec = {"samples": plain(self.part), "seed": self.seed}
                spec["decoding"] = self.needs["of"].decoding()
            case _:
                return {}
        for use in ("start", "logs", "of"):  # if one of these is trained again, so is this one
            if use in self.needs:
                spec[use] = self.needs[use].training()
        return json.loads(json.dumps(spec))

    def decoding(self) -> list[Any]:
        """What the decoding that a cell's agent is saved with depends on."""
        if not isinstance(self.part, Cell):
            return []
        chosen = [self.part.decodings, self.experiment.selection_episodes, self.experiment.selection_options]
        before = self.needs["start"].decoding() if not self.part.trained and "start" in self.needs else []
        return [*before, chosen]

    def result(self) -> dict[str, Any] | None:
        """The finished result; None if there is none, or if it was made with other settings."""
        path = self.folder / "result.json"
        if not path.exists():
            return None
        result = read_object(path)
        return result if result.get("spec") == self.spec() else None


def data_folder(out: Path, data: Data) -> Path:
    """The folder of a data set; data sets with different settings never share one."""
    return Path(data.path) if data.path else out / "data" / _hashed(file_name(data.recipe), data)


def recorded_data(suite: Suite, out: Path) -> dict[Path, Data]:
    """Folder -> data set, for all data sets of the suite that a recipe records."""
    used = [data for e in suite.experiments for data in (e.data, e.held_out, *(cell.data for cell in e.cells))]
    return {data_folder(out, data): data for data in used if isinstance(data, Data) and data.recipe}


def _content(folder: Path) -> str:
    """What identifies the content of a data set: the checksum of its file of checksums; empty if it has none."""
    return checksum(folder / CHECKSUMS) if (folder / CHECKSUMS).exists() else ""


def _hashed(name: str, logs: Data | Samples) -> str:
    text = json.dumps(plain(logs), sort_keys=True)
    return f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def units(suite: Suite, out: Path) -> list[Unit]:
    """All pieces of a suite, each after those it needs.

    Pieces that the longest chains of work wait for come first, so that no such chain is left for the end.

    Raises:
        ValueError: a cell uses one that does not exist, cells use each other in a circle, or two pieces would share a
            folder.
    """
    work: list[Unit] = []
    for seed in range(suite.seeds):
        grid = _Grid(suite, out, seed)
        running = [e for e in suite.experiments if e.seeds is None or seed < e.seeds]
        work += [grid.unit(e.name, cell.label) for e in running for cell in e.cells]
        work += grid.recordings.values()
    for experiment in suite.experiments:
        data, folder = data_folder(out, experiment.data), out / "cells" / experiment.name
        for kind, parts in (("baselines", experiment.baselines), ("exact", experiment.exact)):
            for part in parts:
                name = f"{experiment.name}/{kind}/{part.label}"
                work.append(Unit(name, folder / kind / folder_name(part.label), experiment, data, part))
        if experiment.rank_test:
            work.append(Unit(f"{experiment.name}/yardsticks", folder / "yardsticks", experiment, data, None))
    _check_names(work)
    ahead = _ahead(work)
    work.sort(key=lambda unit: (-ahead[unit.folder], unit.wave))
    return work


def _ahead(work: Sequence[Unit]) -> dict[Path, float]:
    """Folder -> how long the piece takes, together with the longest chain of pieces that wait for it."""
    ahead = {unit.folder: _length(unit) for unit in work}
    for unit in sorted(work, key=lambda unit: -unit.wave):
        for needed in unit.needs.values():
            ahead[needed.folder] = max(ahead[needed.folder], _length(needed) + ahead[unit.folder])
    return ahead


def _length(unit: Unit) -> float:
    """How long its training takes, in steps of a small model; 0 for pieces without training."""
    steps = unit.part.fit.get("steps") if isinstance(unit.part, Cell) else None
    return steps * (_OF_A_LARGE_MODEL if unit.experiment.pretrained else 1) if isinstance(steps, int) else 0


def _check_names(work: Sequence[Unit]) -> None:
    """Checks that no piece has the folder of another or lies in it, because a piece may empty its folder.

    Names that differ only in capitals count as equal, as they are on some file systems.
    """
    names: dict[Path, str] = {}
    for unit in work:
        folder = Path(folded(str(unit.folder)))
        if folder in names:
            raise ValueError(f"{names[folder]!r} and {unit.name!r} would share {unit.folder}: label them apart.")
        names[folder] = unit.name
    for folder, name in names.items():
        if around := next((names[parent] for parent in folder.parents if parent in names), None):
            raise ValueError(f"{name!r} would lie in the folder of {around!r}: label them apart.")


class _Grid:
    """The cells of a suite with one training seed, and the recordings of their samples, each made once."""

    def __init__(self, suite: Suite, out: Path, seed: int) -> None:
        self.experiments = {e.name: e for e in suite.experiments}
        self.out, self.seed = out, seed
        self.made: dict[tuple[str, str], Unit] = {}
        self.recordings: dict[Path, Unit] = {}

    def unit(self, name: str, label: str, users: tuple[str, ...] = ()) -> Unit:
        """The unit of a cell.

        Args:
            name: of the experiment.
            label: of the cell.
            users: the cells that led here by their needs, to find circles.

        Raises:
            ValueError: there is no such cell, or it is among ``users``.
        """
        if (name, label) not in self.made:
            self._check(name, label, users)
            experiment, users = self.experiments[name], (*users, f"{name}/{label}")
            cell = next(cell for cell in experiment.cells if cell.label == label)
            uses = {"start": cell.start, "candidates_from": cell.candidates_from}
            if experiment.reference != label:  # a cell is not its own reference
                uses["reference"] = experiment.reference
            needs = {use: self.unit(*self._place(name, x), users) for use, x in uses.items() if x is not None}
            data = cell.data or experiment.data
            if isinstance(data, Samples):
                needs["logs"] = self._samples(data, self.unit(*self._place(name, data.of), users))
            self.made[name, label] = Unit(
                f"{name}/{label}/{self.seed}",
                self.out / "cells" / name / folder_name(label) / str(self.seed),
                experiment,
                needs["logs"].recorded if isinstance(data, Samples) else data_folder(self.out, data),
                cell,
                self.seed,
                needs,
                data_folder(self.out, experiment.held_out) if experiment.held_out else None,
            )
        return self.made[name, label]

    def _samples(self, samples: Samples, speaker: Unit) -> Unit:
        """The recording of samples of ``speaker``, one for all cells that learn from it."""
        name = _hashed(f"samples-of-{speaker.folder.parent.name}", samples)
        folder = speaker.folder.parent.parent / name / str(self.seed)
        if folder not in self.recordings:
            title = f"{speaker.experiment.name}/{name}/{self.seed}"
            needs = {"of": speaker}
            self.recordings[folder] = Unit(title, folder, speaker.experiment, speaker.data, samples, self.seed, needs)
        return self.recordings[folder]

    def _place(self, name: str, used: str) -> tuple[str, str]:
        """Experiment and label of the cell that ``used`` names, in a cell of the experiment ``name``."""
        other, _, label = used.partition("/")
        return (other, label) if label and other in self.experiments else (name, used)

    def _check(self, name: str, label: str, users: tuple[str, ...]) -> None:
        labels = [cell.label for cell in self.experiments[name].cells]
        if f"{name}/{label}" in users:
            raise ValueError(f"{users[-1]!r} needs the cell {label!r}, which needs it in turn.")
        if label not in labels and "/" in label:
            others = ", ".join(self.experiments)
            raise ValueError(f"{users[-1]!r} needs the cell {label!r}. Run that experiment too, beside {others}.")
        if label not in labels:
            raise ValueError(f"{users[-1]!r} needs the cell {label!r}, but {name} has only {', '.join(labels)}.")
