"""The jobs that are killed: all that write a folder or a file for the user."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import pyarrow.parquet as pq
from killing import Job, inside

from agents import BC, LM, Agent
from agents.benchmark import Baseline, Cell, Data, Experiment, Suite
from agents.benchmark.report import report  # noqa: F401
from agents.cli import main
from datasets_builders import EpisodeDataset, record
from lang_envs.policies.movie_review import Reviewer
from lang_envs.tasks.movie_review import MovieReview


def command(*line: str | Path) -> None:
    """Runs a command of ``lang-envs``.

    Raises:
        RuntimeError: it ends with another status than 0.
    """
    if status := main([str(part) for part in line]):
        raise RuntimeError(f"{line[0]} ends with {status}")


def files(folder: Path) -> dict[str, str]:
    """A hash of every file below, but the empty ones by which places are claimed: those of the killed lock nothing."""
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and not (file.name.startswith(".") and file.suffix == ".lock")
    }


def jobs(folder: Path) -> dict[str, list[Job]]:
    """The jobs of each kind; what they start from is made below ``folder``."""
    data = folder / "data"
    inside(lambda: command("record", "movie-review", "--episodes", "3000", "--out", data))
    return {
        "record": [_recipe(), _blocks()],
        "train": [_training(name, data) for name in ("bc", "ilql")],
        "bench": [_bench(workers, folder / "suite.json") for workers in (1, 2)],
        "save an agent": [_save_agent()],
        "save a data set": [_save_data(data)],
        "import": [_import(folder / "log.jsonl")],
        "export": [_export(data, form) for form in ("jsonl", "parquet", "trl-sft")],
    }


def _recipe() -> Job:
    """Three blocks of a recipe, by the command."""

    def run(folder: Path) -> None:
        if not (folder / "out").exists():
            command("record", "movie-review", "--episodes", "10000", "--out", folder / "out")

    return Job("record", run, lambda folder: files(folder), seen=_whole_or_absent("out"))


def _blocks() -> Job:
    """Many small blocks, by the function."""

    def run(folder: Path) -> None:
        if not (folder / "out").exists():
            policy = Reviewer(MovieReview())
            record("MovieReview-v0", policy, 700, folder / "out", block_size=64, progress=False)

    return Job("record", run, lambda folder: files(folder), seen=_whole_or_absent("out"))


def _import(log: Path) -> Job:
    """Three record batches of conversations, some of which are held out."""
    rows = ({"prompt": f"is room {i // 2} open?", "response": f"until {i}", "score": i % 5} for i in range(5000))
    log.write_text("".join(json.dumps(row) + "\n" for row in rows))

    def contents(folder: Path) -> Any:
        return {**files(folder), "left": repr(sorted(p.name for p in folder.rglob("*") if p.suffix != ".lock"))}

    def run(folder: Path) -> None:
        if not (folder / "out").exists():
            command("import", log, "--out", folder / "out", "--held-out", "0.2")

    return Job("import", run, contents, seen=_whole_or_absent("out"))


def _whole_or_absent(name: str) -> Callable[[Path], Any]:
    def seen(folder: Path) -> Any:
        place = folder / name
        return [len(list(EpisodeDataset.load(place))), files(place)] if place.exists() else "nothing"

    return seen


def _training(name: str, data: Path) -> Job:
    """A log and a checkpoint every few steps."""
    few = ("--steps", "40", "--batch-size", "8", "--log-every", "3", "--checkpoint-every", "4")
    choosing = ("--decoding-episodes", "4")

    def contents(folder: Path) -> Any:
        rows = [json.loads(line) for line in (folder / "run" / "metrics.jsonl").read_text().splitlines()]
        log = [{key: value for key, value in row.items() if not key.startswith("time/")} for row in rows]
        return {
            **files(folder / "run" / "agent"),
            "decoding": (folder / "run" / "decoding.json").read_text(),
            "log": repr(log),
            "left": repr(sorted(p.name for p in folder.iterdir() if p.suffix != ".lock")),
        }

    def run(folder: Path) -> None:
        command("train", name, "--data", data, "--out", folder / "run", *few, *choosing)

    return Job("train", run, contents)


def _bench(workers: int, config: Path) -> Job:
    """Two small cells and two baselines."""
    fit = {"steps": 8, "batch_size": 8}
    experiment = Experiment(
        name="tiny",
        title="Tiny",
        about="Whether it goes on.",
        data=Data("movie-review", episodes=200),
        env="MovieReview-v0",
        cells=(Cell("BC", "bc", fit=fit), Cell("ILQL", "ilql", {"gamma": 1.0}, fit)),
        baselines=(Baseline("random", "random"), Baseline("optimal", "optimal")),
        normalise=("random", "optimal"),
        episodes=8,
        selection_episodes=4,
        measure_every=4,
    )
    config.write_text(json.dumps(Suite("tiny", "Tiny", (experiment,), seeds=1).plain()))

    def contents(folder: Path) -> Any:
        out = folder / "out"
        table = pq.read_table(out / "results.parquet", use_threads=False).to_pylist()
        saved = {name: sum for name, sum in files(out / "cells").items() if "/agent/" in name}
        weights = {name: sum for name, sum in saved.items() if name.endswith(".safetensors")}
        return {"results": repr(table), "table": (out / "table.md").read_text(), **weights}

    def run(folder: Path) -> None:
        command("bench", "--from", config, "--out", folder / "out", "--workers", str(workers))

    return Job(f"bench, {workers} worker{'s' if workers > 1 else ''}", run, contents)


def _save_agent() -> Job:
    """A new agent in the place of an old one."""
    env: Any = gym.make_vec("MovieReview-v0", num_envs=1)
    old, new = (BC(LM.from_scratch("d64-l2", env, seed=seed)) for seed in (0, 1))

    def seen(folder: Path) -> Any:
        agent = Agent.load(folder / "agent")
        weights = b"".join(weight.detach().numpy().tobytes() for weight in agent.network.parameters())
        return hashlib.sha256(weights).hexdigest()

    def prepare(folder: Path) -> None:
        old.save(folder / "agent")

    def run(folder: Path) -> None:
        new.save(folder / "agent")

    return Job("save an agent", run, lambda folder: files(folder), prepare, seen)


def _save_data(data: Path) -> Job:
    """A selection, in a folder of its own."""

    def run(folder: Path) -> None:
        if not (folder / "out").exists():
            EpisodeDataset.load(data).filter(top_fraction=0.7).save(folder / "out")

    return Job("save a data set", run, lambda folder: files(folder), seen=_whole_or_absent("out"))


def _export(data: Path, form: str) -> Job:
    """In the place of a file that is there already."""

    def prepare(folder: Path) -> None:
        (folder / "out").write_text("what was there before")

    def run(folder: Path) -> None:
        command("export", data, "--to", form, "--out", folder / "out")

    return Job("export", run, lambda folder: files(folder), prepare, lambda folder: files(folder)["out"])
