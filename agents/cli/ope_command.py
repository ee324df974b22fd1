"""``lang-envs ope``: estimates returns of trained agents from held-out logs, without playing them."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from rich.markup import escape
from rich.table import Table
from tyro.conf import Positional, arg

from agents.cli.arguments import SetOptions, decoding_in_words, decoding_of
from agents.cli.next_steps import OURS, given, show_next
from agents.cli.show import console
from datasets_builders.hub import local
from lang_envs.terminal import Terminal

if TYPE_CHECKING:
    from agents.agent import Agent
    from agents.ope import Estimate, Evaluation
    from datasets_builders import EpisodeDataset
    from lang_envs.rollout import Policy

_STEPS, _LARGEST = 400, 20_000_000
"""default number of steps of fitted Q, and the largest number of parameters of a model that has this default"""


@dataclass
class Ope:
    """Estimates returns of agents from held-out logs, without play.

    For each agent and estimator it prints an estimate, its bootstrap interval, the effective number of episodes, and
    reasons not to trust it. Importance weights need the log-probabilities of the logged actions: recorded ones, or
    those of --behaviour. Agents decode as in eval. A greedy agent says only one reply per context, so logs of long
    replies tell little about it. With --set greedy=false, here and in eval, the agent is estimated as it samples.

    Examples:
        lang-envs ope runs/a runs/b --data data/held-out
        lang-envs ope runs/of-my-logs
        lang-envs ope runs/a --data data/held-out --behaviour runs/bc --set greedy=false --out ope.json
    """

    runs: Annotated[Positional[tuple[Path, ...]], arg(metavar="RUN ...")]
    """folders of runs or of saved agents, or hub:owner/name"""
    data: Path | None = None
    """folder of episodes that no agent was trained on, or hub:owner/name; by default the held-out part of the imported
    log that the first agent learned from"""
    behaviour: Path | None = None
    """a run (of bc) that stands in for the policy that made the log, if the log has no log-probabilities; by default
    none"""
    fitted_steps: int | None = None
    """optimiser steps of fitted Q on each half of the episodes; 0 omits fitted Q. By default 400, or 0 for a model of
    more than 20 million parameters, whose steps take seconds each without a GPU"""
    lr: float = 1e-3
    """learning rate of fitted Q"""
    gamma: float = 1.0
    """discount per token of the agent; 1 (no discount) compares with the returns of eval"""
    least: float = 30.0
    """number of effective episodes below which an estimate is called hopeless"""
    returns: Annotated[tuple[float, float] | None, arg(metavar="LOW HIGH")] = None
    """smallest and largest possible return; intervals assume these for replies that the log never shows. By default the
    range of the logged returns and the environment's reference scores"""
    options: SetOptions = ()
    """decoding, as NAME=VALUE: greedy, temperature, top_k, top_p, advantage_weight, advantage_clip; by default as in
    eval"""
    seed: int = 0
    """seed of the bootstrap and of fitted Q"""
    out: Path | None = None
    """also write the estimates to this .json or .parquet file"""

    def __call__(self) -> None:
        """Prints a table."""
        from agents.runs.run import load
        from datasets_builders import EpisodeDataset

        if not self.runs:
            raise ValueError("Name at least one run to evaluate, as in lang-envs ope runs/a --data data/held-out.")
        if self.out is not None and self.out.suffix not in (".json", ".parquet"):
            raise ValueError(f"--out is a file that ends in .json or .parquet, not {self.out}.")
        if not 0 <= self.gamma <= 1:
            raise ValueError(f"--gamma is a discount between 0 and 1, not {self.gamma}.")
        data = EpisodeDataset.load(self._held_out() if self.data is None else self.data)
        if data.provenance.get("rewards") == "none":
            raise ValueError("These episodes have no rewards, so no return can be estimated from them.")
        behaviour = None
        if self.behaviour is not None:
            recorded_by = load(local(self.behaviour, "agent"))
            data.require(recorded_by.lm.tokenizer)
            behaviour = recorded_by.policy()
        found = {str(run): self._found(local(run, "agent"), data, behaviour) for run in self.runs}
        _show(found)
        if self.out is not None:
            _write(rows(found), self.out)
        show_next(console(), [OURS, "eval", _best(found), *given(None, (), self.options)])

    def _held_out(self) -> Path:
        from agents.runs.config import held_out_from

        found = held_out_from(local(self.runs[0], "agent"))
        if found is None:
            raise ValueError("No episodes are named. Pass --data FOLDER, with episodes that no agent was trained on.")
        return found

    def _found(self, run: Path, data: EpisodeDataset, behaviour: Policy | None) -> Found:
        """Evaluates one agent."""
        import numpy as np

        from agents.benchmark.running.evaluate import decoded
        from agents.ope import evaluate
        from agents.runs.run import load

        agent = load(run)
        decoding = decoding_of(agent, self.options)
        steps = _fitted_steps(run, agent) if self.fitted_steps is None else self.fitted_steps
        evaluation = evaluate(
            decoded(agent, decoding),
            data,
            np.random.default_rng(self.seed),
            behaviour,
            steps,
            self.gamma,
            self.least,
            self.returns,
            progress=True,
            lr=self.lr,
        )
        return Found(evaluation, decoding_in_words(decoding), _learned(run, data))


def _fitted_steps(run: Path, agent: Agent) -> int:
    """The default number of steps; prints a line if it is 0."""
    size = sum(weight.numel() for weight in agent.lm.model.parameters())
    if size <= _LARGEST:
        return _STEPS
    Terminal(stderr=True).print(
        f"{run}: fitted Q and the doubly robust estimate are left out. With {size / 1e6:.0f} million parameters a step "
        f"of fitted Q may take seconds; --fitted-steps {_STEPS} makes {_STEPS} steps on each half of the episodes.",
        markup=False,
        soft_wrap=True,
    )
    return 0


def _best(found: dict[str, Found]) -> str:
    """The run with the highest mean estimate."""

    def mean(of_run: Found) -> float:
        values = [one.value for one in of_run.evaluation.estimates if math.isfinite(one.value)]
        return sum(values) / len(values) if values else -math.inf

    return max(found, key=lambda run: mean(found[run]))


class Found(NamedTuple):
    """The results of one agent."""

    evaluation: Evaluation
    decoding: str
    """how it was decoded"""
    learned: tuple[str, ...]
    """reasons why the episodes are not held out from it"""

    def warnings(self, estimate: Estimate) -> tuple[str, ...]:
        """All warnings about one of its estimates."""
        return (*self.learned, *estimate.warnings)


def _learned(run: Path, data: EpisodeDataset) -> tuple[str, ...]:
    """A warning for each folder with episodes that the agent learned from."""
    from agents.ope.held_out import shared
    from agents.runs.config import learned_from
    from datasets_builders import EpisodeDataset

    said = []
    for folder in learned_from(run):
        if folder.is_dir() and (count := shared(data, EpisodeDataset.load(folder))):
            said.append(
                f"not held out: {count} of these {len(data)} episodes are among those that the agent learned from, in "
                f"{folder}; what it has memorised of them can make its estimates too high"
            )
    return tuple(said)


def rows(found: dict[str, Found]) -> list[dict[str, Any]]:
    """One row for each run and estimator, as written with --out."""
    return [
        {
            "run": run,
            "decoding": of_run.decoding,
            "estimator": estimate.name,
            "value": estimate.value,
            "low": estimate.interval.low,
            "high": estimate.interval.high,
            "effective_episodes": estimate.effective,
            "warnings": list(of_run.warnings(estimate)),
            "episodes": of_run.evaluation.episodes,
            "logged_return": of_run.evaluation.logged,
            "mean_weight": of_run.evaluation.covered,
        }
        for run, of_run in found.items()
        for estimate in of_run.evaluation.estimates
    ]


def _show(found: dict[str, Found]) -> None:
    screen = console()
    first = next(iter(found.values())).evaluation
    low, high = first.returns
    screen.print(f"{first.episodes} logged episodes, with a mean return of {first.logged:.3f}.")
    screen.print(f"For replies that the log never shows, intervals assume returns from {low:.3g} to {high:.3g}.")
    for decoding in dict.fromkeys(of_run.decoding for of_run in found.values()):
        names = ", ".join(run for run, of_run in found.items() if of_run.decoding == decoding)
        screen.print(escape(f"Decoding, as in eval: {decoding} ({names})"))
    screen.print()
    notes: dict[str, int] = {}
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("run", "estimator", "value", "95% interval", "effective", "note"):
        text = name in ("run", "estimator", "note")
        table.add_column(name, justify="left" if text else "right", no_wrap=name != "run", overflow="fold")
    for run, of_run in found.items():
        for i, estimate in enumerate(of_run.evaluation.estimates):
            warnings = of_run.warnings(estimate)
            table.add_row(
                escape(run) if i == 0 else "",
                estimate.name.replace("_", " "),
                _number(estimate.value),
                f"{_number(estimate.interval.low)} to {_number(estimate.interval.high)}",
                f"{estimate.effective:.1f}",
                ", ".join(str(notes.setdefault(why, len(notes) + 1)) for why in warnings),
                style="dim" if warnings else None,
            )
    screen.print(table)
    for why, number in notes.items():
        screen.print(f"  {number}: {escape(why)}")


def _number(value: float) -> str:
    """A number with three decimals, or in powers of ten if it is too large for a return."""
    return f"{value:.3f}" if not abs(value) >= 1e6 else f"{value:.2g}"


def _write(table: list[dict[str, Any]], out: Path) -> None:
    """Writes the rows to a file, whole or not at all. Numbers that are not finite are null in JSON."""
    out.parent.mkdir(parents=True, exist_ok=True)
    from datasets_builders.atomic import replacing
    from datasets_builders.claim import Claim

    with Claim(out), replacing(out) as temporary:
        if out.suffix == ".json":
            plain = [
                {
                    name: None if isinstance(value, float) and not math.isfinite(value) else value
                    for name, value in row.items()
                }
                for row in table
            ]
            temporary.write_text(json.dumps(plain, indent=2, allow_nan=False))
        else:
            import pyarrow as pa
            import pyarrow.parquet as pq

            pq.write_table(pa.Table.from_pylist(table), temporary)
