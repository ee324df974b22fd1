"""``lang-envs train``, whose options are those of the run, of the agent's configuration and of the training loop."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from tyro.conf import arg

from agents.cli.arguments import ENV_OPTIONS, Options, decoding_in_words, joined, pairs
from agents.cli.form import read
from datasets_builders.hub import PREFIX, local

if TYPE_CHECKING:
    from agents.runs.config import RunConfig
    from agents.runs.decoding_file import Chosen

HELP = """Trains an agent on logged episodes, live episodes, or both.

After the last step, train chooses a decoding: it plays the same episodes with each decoding of a grid and saves the
best with the agent. The grid varies the weight of the values (advantage_weight), greedy or sampled, and which tokens
the language model excludes (lm_top_p). These often matter more than longer training. `lang-envs eval`, `ope`,
`explain`, `chat` and `generate` use the saved decoding. After an interruption, the same command resumes.
To train on 4 processes, put `torchrun --nproc_per_node 4 --no-python` before the command.

A pretrained model (--lm) needs data in its own tokens: import or record them with its tokenizer, as with
`lang-envs import chats.jsonl --out data/smol --tokenizer smollm2`.

Examples:
    lang-envs train ilql --data data/trap --out runs/ilql --steps 2000 --tau 0.9
    lang-envs train bc --data data/expert --out runs/bc --keep-top 0.2 --lr 0.001
    lang-envs train bc --data data/smol --lm smollm2 --dtype bf16 --lora-rank 16 --out runs/smol
    lang-envs train my_package:MyAgent --data data/trap --out runs/mine
    lang-envs train --from runs/ilql/config.json --out runs/again
"""


@dataclass
class TrainOptions:
    """Options of the run itself, not of the agent or the training loop."""

    out: Path
    """folder of the run"""
    steps: int = 1000
    """number of optimiser steps"""
    data: Path | None = None
    """folder of logged episodes, or hub:owner/name; by default all episodes are live"""
    env: str | None = None
    """id of the environment for live episodes; by default the environment of --data"""
    env_options: Annotated[Options, arg(metavar="NAME=VALUE ...")] = ()
    """options of the environment, as NAME=VALUE"""
    logged_fraction: float = 1.0
    """fraction of logged episodes, with --data; the rest are live"""
    lm: str = "d64-l2"
    """size of a model made from scratch; or a causal language model: a folder, a .gguf file, smollm2, a name on the
    hub, or hub:owner/name of a pushed agent. The environment uses its tokenizer unless an option says otherwise"""
    dtype: Literal["fp32", "bf16"] = "fp32"
    """number format of the weights of such a model; with bf16 the optimiser still keeps float32 copies"""
    lora_rank: int = 0
    """rank of adapters (LoRA) to train instead of the weights of a pretrained --lm; heads are trained too. 0 trains the
    weights"""
    lora_alpha: float = 16.0
    """scale of the adapters' output, as a multiple of 1 / rank"""
    lora_dropout: float = 0.0
    """dropout probability of the adapters' input, if training uses dropout (--dropout)"""
    seed: int = 0
    """seed of the initial weights, the order of the data and dropout"""
    decoding_episodes: int = 256
    """episodes per decoding for the choice after the last step; 0 chooses none, and eval is then greedy. Starting a
    finished run again with another number repeats the choice"""


@dataclass
class Again:
    """Repeats a run."""

    from_config: Annotated[Path, arg(name="from")]
    """config.json of the run to repeat, or the run's folder"""
    out: Path
    """folder of the new run"""


def parse(arguments: list[str]) -> tuple[RunConfig, Path]:
    """The run that ``train ARGUMENTS`` asks for, and its folder.

    Raises:
        ValueError: no such agent.
        SystemExit: raised by tyro after it has printed help or an error.
    """
    from agents.agent import agent_class
    from agents.runs.config import RunConfig, read_config
    from agents.training.fit_config import FitConfig

    if arguments[0] == "--from":
        again = read(Again, arguments, "lang-envs train", HELP)
        return read_config(again.from_config), again.out
    name, *rest = arguments
    config_class = get_type_hints(agent_class(name))["config"]
    asked = joined(TrainOptions, config_class, FitConfig)
    given = vars(read(asked, rest, f"lang-envs train {name}", HELP))

    def of(part: type) -> dict[str, Any]:
        return {f.name: given[f.name] for f in dataclasses.fields(part) if f.name in given}

    run = TrainOptions(**of(TrainOptions))
    fit = FitConfig(**{**of(FitConfig), "out": run.out}).to_dict()
    config = RunConfig(
        agent=name,
        config=of(config_class),
        fit={k: v for k, v in fit.items() if k not in ("out", "seed")},
        steps=run.steps,
        data=None if run.data is None else str(local(run.data, "data").resolve()),
        env=run.env,
        env_options=pairs(run.env_options, ENV_OPTIONS),
        logged_fraction=run.logged_fraction,
        lm=str(local(run.lm, "agent")) if run.lm.startswith(PREFIX) else run.lm,
        lora={"rank": run.lora_rank, "alpha": run.lora_alpha, "dropout": run.lora_dropout} if run.lora_rank else None,
        dtype=run.dtype,
        seed=run.seed,
        decoding_episodes=run.decoding_episodes,
    )
    return config, run.out


def show_choice(screen: Console, chosen: Chosen) -> None:
    """Prints a table of the decodings that were tried, and a sentence on the one that was chosen."""
    best = chosen.best
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("decoding", no_wrap=True, overflow="fold")
    for name in ("return", "error"):
        table.add_column(name, justify="right")
    table.add_column("")
    for row in chosen.tried:
        marked = row is best
        numbers = (f"{row['return']:.3f}", f"{row['error']:.3f}", "chosen" if marked else "")
        table.add_row(escape(decoding_in_words(row["decoding"])), *numbers, style="bold" if marked else None)
    screen.print(table)
    episodes = "1 episode" if best["episodes"] == 1 else f"{best['episodes']} episodes"
    said = f"Chosen: {decoding_in_words(chosen.decoding)} earns {best['return']:.3f} on {episodes}"
    alone = None if chosen.alone is None else chosen.tried[chosen.alone]
    if alone is best:
        said += "; the language model speaks alone in it, so its values do not help (see docs/settings.md)"
    elif alone is not None:
        said += f"; the language model alone ({decoding_in_words(alone['decoding'])}) earns {alone['return']:.3f}"
    said += ". The best of many looks better than it is: lang-envs eval plays other episodes."
    screen.print(escape(said), soft_wrap=True)
