"""The environment of a training run: what it learns in, and what its agent is measured in."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agents.runs import imported
from agents.runs.config import RunConfig, agent_folder, known_config
from agents.runs.tokens import made_for, must_adopt
from datasets_builders.provenance import read_provenance
from lang_envs.make import language_vec, of_file
from lang_envs.tokenizers import fingerprint

if TYPE_CHECKING:
    from agents.agent import Agent
    from lang_envs.vector import TokenVectorEnv


def environment(config: RunConfig, rows: int = 64, to_measure: bool = False) -> TokenVectorEnv:
    """The environment of a run: the one asked for, else the one its data came from, with the options they came with.

    Where these name no tokenizer, it has that of the run's language model, unless that is one from scratch. No module
    is imported for it (``lang_envs.make.of_file``): import one that registers environments before.

    Args:
        config: of the run.
        rows: episodes played at once.
        to_measure: whether a trained agent is measured in it, in what was held out from training where that is known.

    Raises:
        ValueError: neither is known, or it is code of a module that nobody imported, or the data of an imported log are
            spelled in other tokens than the model's.
    """
    env, env_options = named(config, to_measure)
    made = made_for(config.lm, env, env_options, rows)
    if config.data is not None and env == imported.ENV_ID and "tokenizer" not in env_options:
        data = imported.folder_of(config.data, config.env_options)
        imported.check_tokens(data, read_provenance(data), made.tokenizer, config.lm)
    return made


def named(config: RunConfig, to_measure: bool = False) -> tuple[str, dict[str, Any]]:
    """The id and the options of the environment of a run; arguments and errors as of :func:`environment`."""
    env, env_options, where = config.env, config.env_options, "the configuration of the run"
    if config.data is not None:
        data = imported.folder_of(config.data, config.env_options)
        found = read_provenance(data).get("env") or {}
        if env is None or env.rpartition(":")[2] == found.get("id"):
            env, env_options = env or found.get("id"), {**imported.options_of(data, found), **env_options}
            where = f"{data}, or {where},"
    if env is None and config.data is not None:
        raise ValueError(f"{config.data} does not say which environment its episodes are for: pass --env ID too.")
    if env is None:
        raise ValueError("Training needs episodes: pass --data FOLDER, or --env ID to play live, or both.")
    env, env_options = of_file(env, env_options, where)
    return env, imported.measured_on(env, env_options) if to_measure else env_options


def environment_of(
    run: Path,
    agent: Agent,
    env: str | None = None,
    env_options: dict[str, Any] | None = None,
    rows: int = 64,
    to_measure: bool = False,
) -> TokenVectorEnv:
    """The environment to play a trained agent in: ``env``, or the one its run was trained in.

    It speaks the agent's tokens where nothing else is asked for and they spell any text. ``to_measure`` has it play in
    what was held out from training, where that is known (:func:`environment`).

    Raises:
        ValueError: neither is known, or its tokens are not the agent's.
    """
    options = env_options or {}
    made = _environment_of(run, env, options, rows, to_measure)
    if "tokenizer" not in options and must_adopt(made, agent.lm.tokenizer):
        made = _environment_of(run, env, {**options, "tokenizer": str(agent_folder(run))}, rows, to_measure)
    if fingerprint(made.tokenizer) != fingerprint(agent.lm.tokenizer):
        raise ValueError(
            f"The agent in {run} speaks another tokenizer's tokens than the environment; make that with the option "
            f"tokenizer={agent_folder(run)}"
        )
    return made


def _environment_of(
    run: Path, env: str | None, env_options: dict[str, Any], rows: int, to_measure: bool
) -> TokenVectorEnv:
    config = known_config(run)
    if config is None:
        if env is None:
            raise ValueError(f"{run} does not say which environment it was trained in; pass --env ID.")
        return language_vec(env, rows, **env_options)
    if env not in (None, config.env):
        return environment(dataclasses.replace(config, env=env, env_options=env_options), rows, to_measure)
    merged = {**config.env_options, **env_options}
    return environment(dataclasses.replace(config, env_options=merged), rows, to_measure)
