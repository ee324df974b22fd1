"""Reads the scores of a leaderboard, from ``results.parquet`` in the folders that ``lang-envs bench`` wrote."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from agents.benchmark.experiment import ExactLearner
from agents.evaluation import stats
from datasets_builders.atomic import read_object

FILE = "results.parquet"
Kind = Literal["trained", "exact", "not trained"]
RETURN, RANK_TEST = "return", "rank test"
METRICS = {RETURN: "return", RANK_TEST: "rank/target/0"}
"""measure -> its metric; the rank test is that of the target Q at the end token of the word"""
_COLUMNS = {"experiment", "label", "agent", "trained", "seed", "metric", "value"}
_EXACT = get_args(get_type_hints(ExactLearner)["method"])
_PROTOCOLS = {"greedy/return", "sampled/return"}


@dataclass(frozen=True)
class Score:
    """The result of one policy in an experiment."""

    label: str
    agent: str
    kind: Kind
    mean: float
    interval: stats.Interval
    """95 % interval over training runs; NaN if there is only one, or the policy is not trained"""
    runs: int


@dataclass(frozen=True)
class Column:
    """One experiment of a folder of results."""

    folder: Path
    experiment: str
    title: str
    """the title in ``table.md``, as Markdown"""
    measure: str
    """``RETURN`` or ``RANK_TEST``"""
    protocols: bool
    """whether these results have greedy and sampled returns; older ones have one return"""
    scores: tuple[Score, ...]

    @property
    def name(self) -> str:
        """The name of the column in ``leaderboard.toml``: folder and experiment."""
        return f"{self.folder.name}/{self.experiment}"

    @property
    def trained(self) -> list[Score]:
        """The scores of trained policies, the best mean first."""
        return sorted((s for s in self.scores if s.kind == "trained"), key=lambda s: -s.mean)

    def find(self, kind: Kind, label: str) -> Score | None:
        """The score of a policy; None where it was not measured."""
        return next((s for s in self.scores if (s.kind, s.label) == (kind, label)), None)

    def best(self) -> str | None:
        """The label of the best trained method if its interval lies above that of the second best; otherwise None."""
        first, second = (*self.trained, None, None)[:2]
        ahead = first and second and first.interval.low > second.interval.high
        return first.label if first and ahead else None


@dataclass(frozen=True)
class Results:
    """The results in one folder: its title, the command that made it, and a column for each experiment."""

    folder: Path
    title: str
    """as Markdown"""
    command: str
    columns: tuple[Column, ...]


def find(folders: Sequence[Path]) -> list[Results]:
    """The results in folders. Each folder holds ``results.parquet``, or contains such folders, which come by name.

    Raises:
        ValueError: a folder has no results, or ``read`` refuses them.
    """
    found: list[Results] = []
    for folder in folders:
        inside = [folder] if (folder / FILE).exists() else sorted(path.parent for path in folder.glob(f"*/{FILE}"))
        if not inside:
            raise ValueError(
                f"{folder} holds no {FILE}, nor does a folder in it. Name folders that lang-envs bench --out wrote."
            )
        found += map(read, inside)
    return found


def read(folder: Path) -> Results:
    """The results in one folder.

    Raises:
        ValueError: a file is missing or damaged, or the results are those of a smoke run.
    """
    page = folder / "table.md"
    if not page.exists():
        raise ValueError(f"{folder} has {FILE} and no table.md, which says what made it. lang-envs bench writes both.")
    text = page.read_text(encoding="utf-8")
    command = _command(text)
    if _is_smoke(folder, command):
        raise ValueError(f"{folder} was made by a smoke run, which measures nothing. Leave it out, or run it in full.")
    rows = _rows(folder / FILE)
    names = list(dict.fromkeys(row["experiment"] for row in rows))
    titles = [line[3:].strip() for line in text.splitlines() if line.startswith("## ") and line != "## Headline"]
    titled = dict(zip(names, titles, strict=True)) if len(titles) == len(names) else {}
    columns = (_column(folder, n, titled.get(n, n), [r for r in rows if r["experiment"] == n]) for n in names)
    title = next((line[2:].strip() for line in text.splitlines() if line.startswith("# ")), folder.name)
    return Results(folder, title, command, tuple(columns))


def _rows(path: Path) -> list[dict[str, Any]]:
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{path}: expected a whole Parquet file of results ({error}).") from error
    if missing := sorted(_COLUMNS - set(table.column_names)):
        raise ValueError(
            f"{path} has no column {missing[0]!r}: it was written by an earlier version, or is something else. "
            "lang-envs bench, given the same --out again, writes it anew from what is finished there."
        )
    return table.to_pylist()


def _command(text: str) -> str:
    """The command in the block at the end of ``table.md``; empty if a program called ``run`` without one."""
    blocks = re.findall(r"^Made by\n\n(`{3,})(?:text)?\n(.*?)\n\1$", text, re.MULTILINE | re.DOTALL)
    return blocks[-1][1] if blocks else ""


def _is_smoke(folder: Path, command: str) -> bool:
    config = folder / "config.json"
    named = config.exists() and str(read_object(config).get("name", "")).endswith("-smoke")
    return named or "--smoke" in command.split()


def _column(folder: Path, name: str, title: str, rows: Sequence[dict[str, Any]]) -> Column:
    metrics = {row["metric"] for row in rows}
    measure = RANK_TEST if METRICS[RANK_TEST] in metrics else RETURN
    values: dict[tuple[Kind, str, str], list[float]] = {}
    for row in rows:
        if row["metric"] == METRICS[measure]:
            values.setdefault((_kind(row), row["label"], row["agent"]), []).append(row["value"])
    scores = tuple(_score(label, agent, kind, runs, folder) for (kind, label, agent), runs in values.items())
    return Column(folder, name, title, measure, bool(metrics & _PROTOCOLS), scores)


def _kind(row: dict[str, Any]) -> Kind:
    if row["trained"]:
        return "trained"
    return "exact" if row["agent"] in _EXACT else "not trained"


def _score(label: str, agent: str, kind: Kind, runs: list[float], folder: Path) -> Score:
    try:
        summary = stats.summarise(runs, np.random.default_rng(0))  # as the suite's own report draws it
    except ValueError as error:
        raise ValueError(f"{folder / FILE}, {label!r}: {error}") from error
    return Score(label, agent, kind, summary.mean, summary.interval, summary.runs)
