"""``lang-envs distil``, whose options are those of the command, of distillation and of the training loop."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from rich.markup import escape
from rich.table import Table
from tyro.conf import Positional, arg

from agents.cli.arguments import ENV_OPTIONS, Options, decoding_in_words, decoding_of, joined, pairs
from agents.cli.form import read
from agents.cli.next_steps import show_next
from agents.cli.show import NOT_PAID, console
from datasets_builders.hub import local

if TYPE_CHECKING:
    from agents.agent import Agent
    from agents.runs.distilling import Kept
    from datasets_builders.dataset import EpisodeDataset

HELP = """Distils an agent's values into a plain language model.

The student starts as the agent's language model and learns the distribution of the improved policy, on the agent's logs
and on episodes that the agent plays. Any server of transformers' models loads the result. Its README.md reports the
divergence from the agent and the returns of both in the same fresh episodes. An agent without values does not need
distil: use `lang-envs merge`. After an interruption, the same command resumes.

Examples:
    lang-envs distil runs/ilql --out models/ilql
    lang-envs distil runs/ilql --out models/bold --set greedy=true advantage_weight=16 --steps 2000 --lr 0.001
    lang-envs distil runs/ilql --out models/ilql --played 1 --episodes 1024
"""


@dataclass
class DistilOptions:
    """Options of the command itself, not of distillation or the training loop."""

    out: Path
    """folder of the plain model; the log and checkpoints go to OUT.training"""
    steps: int = 1000
    """number of optimiser steps"""
    data: Path | None = None
    """folder of logged episodes; by default the data that the agent learned from"""
    env: str | None = None
    """environment id; by default that of the run"""
    env_options: Annotated[Options, arg(metavar="NAME=VALUE ...")] = ()
    """options of the environment, as NAME=VALUE"""
    set: Annotated[Options, arg(metavar="NAME=VALUE ...")] = ()
    """decoding of the agent to distil, as NAME=VALUE; by default as in eval"""
    episodes: int = 256
    """number of episodes that agent and student play for the report in the card"""
    seed: int = 0
    """seed of the order of the data and of the agent's episodes"""


def parse(arguments: list[str]) -> Callable[[], None]:
    """The command that ``distil ARGUMENTS`` asks for.

    Raises:
        SystemExit: raised by tyro after it has printed help or an error.
    """
    from agents.distil import DistilConfig
    from agents.training.fit_config import FitConfig

    asked = joined(DistilOptions, DistilConfig, FitConfig)
    where = Annotated[
        Positional[Path], arg(metavar="RUN", help="folder of a run or of a saved agent, or hub:owner/name")
    ]
    run = dataclasses.make_dataclass("Run", [("run", where)])
    both = dataclasses.make_dataclass("Options", [], bases=(asked, run))
    given = vars(read(both, arguments, "lang-envs distil", HELP))

    def of(part: type) -> dict[str, Any]:
        return {f.name: given[f.name] for f in dataclasses.fields(part) if f.name in given}

    settings = {name: value for name, value in of(FitConfig).items() if name not in ("out", "seed")}
    options = DistilOptions(**of(DistilOptions))
    return lambda: _distil(given["run"], options, DistilConfig(**of(DistilConfig)), settings)


def _distil(run: Path, options: DistilOptions, config: Any, settings: dict[str, Any]) -> None:
    from agents.distributed import processes
    from agents.runs.config import name_of
    from agents.runs.distilling import distil
    from agents.runs.environment import environment_of
    from agents.runs.run import load

    name, run = name_of(run), local(run, "agent")
    agent = load(run)
    agent.model.to(processes.device())
    kept = distil(
        agent,
        environment_of(run, agent, options.env, pairs(options.env_options, ENV_OPTIONS)),
        options.out,
        decoding_of(agent, options.set),
        options.steps,
        config,
        _logged(run, options.data, agent),
        options.episodes,
        {"agent": name, "steps": str(options.steps)},
        seed=options.seed,
        **settings,
    )
    if processes.is_first():
        _show(kept, options.out)


def _logged(run: Path, data: Path | None, agent: Agent) -> EpisodeDataset | None:
    """The data set that was asked for, or else the one that the agent learned from; None if that no longer exists."""
    from agents.runs.config import learned_from
    from datasets_builders import EpisodeDataset

    found = [data] if data is not None else [folder for folder in learned_from(run)[:1] if folder.is_dir()]
    if not found:
        return None
    logged = EpisodeDataset.load(found[0])
    logged.require(agent.lm.tokenizer)
    return logged


def _show(kept: Kept, out: Path) -> None:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_row("decoding", escape(decoding_in_words(kept.decoding)))
    returns = (
        ("return of the agent", kept.teacher, kept.teacher_error),
        ("return of the student", kept.student, kept.student_error),
        ("difference, in pairs", kept.difference, kept.difference_error),
    )
    table.add_row("divergence, nats a token", f"{kept.divergence:.4f} ± {kept.divergence_error:.4f}")
    for name, mean, error in returns if kept.pays else ():
        table.add_row(name, f"{mean:.4f} ± {error:.4f}")
    if not kept.pays:
        table.add_row("returns", NOT_PAID)
    console().print(table)
    console().print(escape(f"The model is at {out}; any server of transformers' models loads it."), soft_wrap=True)
    show_next(console(), ("transformers", "serve", out))
