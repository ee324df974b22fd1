"""The configuration of a training run, and what the run's folder says about it afterwards."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from agents.runs.imported import held_out_episodes
from datasets_builders.atomic import read_object
from datasets_builders.fields import typed
from datasets_builders.folders import whole
from datasets_builders.hub import PREFIX
from lang_envs.plugins import asked


@dataclass
class RunConfig:
    """A training run, as JSON-able data."""

    agent: str
    """a name in ``AGENTS``, a name that an installed package registers, or "module:Class"; code that reads the name
    from a file calls ``lang_envs.plugins.asked`` first"""
    config: dict[str, Any]
    """the agent's settings"""
    fit: dict[str, Any]
    """the loop's settings (``FitConfig``)"""
    steps: int
    """optimiser steps"""
    data: str | None = None
    """folder of the logged episodes"""
    env: str | None = None
    """environment id; by default the one the data were recorded in"""
    env_options: dict[str, Any] = field(default_factory=dict)
    """options of the environment; by default those the data were recorded with"""
    logged_fraction: float = 1.0
    """share of logged episodes; the rest are played live"""
    lm: str = "d64-l2"
    """size of a model from scratch, or a causal language model: a folder, .gguf file, smollm2, or name on the hub"""
    lora: dict[str, Any] | None = None
    """settings of adapters (``LoRAConfig``); None trains the model's own weights"""
    dtype: Literal["fp32", "bf16"] = "fp32"
    """type of the weights of a pretrained model; a model from scratch has fp32"""
    seed: int = 0
    """seed of the model's weights and of the order of the data"""
    decoding_episodes: int = 256
    """episodes of each decoding that is tried after the last step, to choose how the agent speaks; 0 chooses none"""


SENT = "run.json"
"""file of the configuration beside an agent on the hub, whose folder holds no run"""
FREE = ("decoding_episodes",)
"""the fields that may change when a run is continued"""


def read_config(path: Path) -> RunConfig:
    """The configuration of an earlier run, from its folder or its ``config.json``.

    Raises:
        ValueError: there is none, or its agent is code of a module that was not imported.
    """
    path = path / "config.json" if path.is_dir() else path
    try:
        config = typed(RunConfig, read_object(path), path)
    except ValueError as error:
        raise ValueError(f"This is not the config.json of a training run: {error}") from None
    asked(config.agent, path)
    return config


def config_of(run: Path) -> RunConfig:
    """The configuration that an agent was trained with.

    Args:
        run: folder of the run, of its agent, or of an agent that was fetched from the hub.

    Raises:
        ValueError: no configuration is found there, or it cannot be read.
    """
    return read_config(_file_of(run))


def known_config(run: Path) -> RunConfig | None:
    """The configuration of an agent's run; None for an agent that was saved outside of any run.

    Raises:
        ValueError: the configuration of its run cannot be read, or its agent is code of a module that nobody imported.
    """
    file = _file_of(run)
    if not file.exists():
        return None
    try:
        return read_config(file)
    except ValueError:
        if file.name == SENT or file.parent == run or run.resolve().name == "agent":
            raise
        return None  # another program's file, in the folder that holds the agent


def _file_of(run: Path) -> Path:
    """The file with the configuration, from the folder of the run or of its agent; it may not exist."""
    if (run / SENT).exists():
        return run / SENT
    folder = run if (run / "config.json").exists() and agent_folder(run) != run else run.parent
    return folder / "config.json"


def learned_from(run: Path) -> list[Path]:
    """The folders of logs that a trained agent learned from: its own run's, and those of the agent it started from.

    Empty where these are unknown: for example, the agent was saved outside of any run.

    Raises:
        ValueError: the configuration of a run cannot be read.
    """
    config = known_config(run)
    if config is None:
        return []
    own = [] if config.data is None else [Path(config.data)]
    return own + (learned_from(Path(config.lm)) if Path(config.lm).is_dir() else [])


def held_out_from(run: Path) -> Path | None:
    """The folder of the held-out episodes of the imported log that a trained agent learned from; None without any."""
    return next((found for folder in learned_from(run) if (found := held_out_episodes(folder)) is not None), None)


def agent_folder(run: Path) -> Path:
    """The folder of a run's agent, from the run's folder or the agent's own."""
    return run / "agent" if whole(run / "agent").is_dir() else run


def name_of(run: Path) -> str:
    """The name of a run's folder, from the run's folder or its agent's; of an agent on the hub, the repository's."""
    if str(run).startswith(PREFIX):
        return run.name.partition("@")[0]
    folder = run.resolve()
    return folder.parent.name if folder.name == "agent" and folder.parent.name else folder.name
