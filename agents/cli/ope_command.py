"""``lang-envs ope``: choosing among trained agents without playing them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table
from tyro.conf import Positional

from agents.cli.arguments import SetOptions, pairs
from agents.cli.show import console

if TYPE_CHECKING:
    from agents.ope import Evaluation


@dataclass
class Ope:
    """Estimates the returns of trained agents from held-out logged episodes, without playing.

    Prints an estimate for each agent and estimator, with its bootstrap interval, how many episodes it rests on, and why
    not to trust it. Importance weights need the log-probabilities of what was said, recorded or of --behaviour.

    Examples:
        lang-envs ope runs/a runs/b --data data/held-out
        lang-envs ope runs/a --data data/held-out --behaviour runs/bc --set greedy=true --out ope.json
    """

    runs: Positional[tuple[Path, ...]]
    """folders of runs or of saved agents"""
    data: Path
    """episodes that none of them was trained on"""
    behaviour: Path | None = None
    """a run (of bc) that stands in for the policy that was recorded, where its log-probabilities are missing"""
    fitted_steps: int = 400
    """optimiser steps of fitted Q on each half of the episodes; 0 does without"""
    lr: float = 1e-3
    """learning rate of fitted Q"""
    gamma: float = 1.0
    """discount per token of the agent; 1 compares with the returns that eval prints"""
    least: float = 30.0
    """effective episodes below which an estimate is called hopeless"""
    options: SetOptions = ()
    """how the agents speak, as NAME=VALUE: greedy, temperature, top_k, top_p, advantage_weight, advantage_clip"""
    seed: int = 0
    """of the bootstrap and of fitted Q"""
    out: Path | None = None
    """also write the estimates there: a file that ends in .json or .parquet"""

    def __call__(self) -> None:
        """Prints a table."""
        import numpy as np

        from agents.benchmark.running.evaluate import decoded
        from agents.ope import evaluate
        from agents.training import runs
        from datasets_builders import EpisodeDataset

        if not self.runs:
            raise ValueError("Name at least one run to evaluate, as in lang-envs ope runs/a --data data/held-out.")
        if self.out is not None and self.out.suffix not in (".json", ".parquet"):
            raise ValueError(f"--out is a file that ends in .json or .parquet, not {self.out}.")
        if not 0 <= self.gamma <= 1:
            raise ValueError(f"--gamma is a discount between 0 and 1, not {self.gamma}.")
        data = EpisodeDataset.load(self.data)
        behaviour = None
        if self.behaviour is not None:
            recorded_by = runs.load(self.behaviour)
            data.require(recorded_by.lm.tokenizer)
            behaviour = recorded_by.policy()
        found = {}
        for run in self.runs:
            found[str(run)] = evaluate(
                decoded(runs.load(run), pairs(self.options)),
                data,
                np.random.default_rng(self.seed),
                behaviour,
                self.fitted_steps,
                self.gamma,
                self.least,
                lr=self.lr,
            )
        _show(found)
        if self.out is not None:
            _write(rows(found), self.out)


def rows(found: dict[str, Evaluation]) -> list[dict[str, Any]]:
    """One row for each run and estimator, as written with --out."""
    return [
        {
            "run": run,
            "estimator": estimate.name,
            "value": estimate.value,
            "low": estimate.interval.low,
            "high": estimate.interval.high,
            "effective_episodes": estimate.effective,
            "warnings": list(estimate.warnings),
            "episodes": evaluation.episodes,
            "logged_return": evaluation.logged,
            "mean_weight": evaluation.covered,
        }
        for run, evaluation in found.items()
        for estimate in evaluation.estimates
    ]


def _show(found: dict[str, Evaluation]) -> None:
    screen = console()
    first = next(iter(found.values()))
    screen.print(f"{first.episodes} episodes, whose own mean return is {first.logged:.3f}.\n")
    notes: dict[str, int] = {}
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("run", "estimator", "value", "95% interval", "effective", "note"):
        text = name in ("run", "estimator", "note")
        table.add_column(name, justify="left" if text else "right", no_wrap=name != "run", overflow="fold")
    for run, evaluation in found.items():
        for i, estimate in enumerate(evaluation.estimates):
            numbers = [str(notes.setdefault(why, len(notes) + 1)) for why in estimate.warnings]
            interval = f"{estimate.interval.low:.3f} to {estimate.interval.high:.3f}"
            table.add_row(
                escape(run) if i == 0 else "",
                estimate.name.replace("_", " "),
                f"{estimate.value:.3f}",
                interval,
                f"{estimate.effective:.1f}",
                ", ".join(numbers),
                style="dim" if estimate.warnings else None,
            )
    screen.print(table)
    for why, number in notes.items():
        screen.print(f"  {number}: {escape(why)}")


def _write(table: list[dict[str, Any]], out: Path) -> None:
    """Writes beside the place and renames into it; what is NaN is null in JSON."""
    out.parent.mkdir(parents=True, exist_ok=True)
    from datasets_builders.atomic import replacing
    from datasets_builders.claim import Claim

    with Claim(out), replacing(out) as temporary:
        if out.suffix == ".json":
            plain = [{name: None if value != value else value for name, value in row.items()} for row in table]
            temporary.write_text(json.dumps(plain, indent=2, allow_nan=False))
        else:
            import pyarrow as pa
            import pyarrow.parquet as pq

            pq.write_table(pa.Table.from_pylist(table), temporary)
