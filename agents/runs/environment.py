"""Makes the environment of a training run: to train the agent in, and to measure it in."""

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
    """The environment of a run: the one asked for, else the one of its data, with the options the data were made with.

    Where the options name no tokenizer, the environment takes that of the run's language model, if it is a pretrained
    one. No module is imported here (``lang_envs.make.of_file``): the caller imports those that register environments.

    Args:
        config: of the run.
        rows: episodes played at once.
        to_measure: whether the environment is for measuring a trained agent; it then plays what was held out from
            training, if something was.

    Raises:
        ValueError: no environment is asked for or recorded, it is code of a module that was not imported, or the
            episodes of an imported log are not in the model's tokens.
    """
    env, env_options = named(config, to_measure)
    made = made_for(config.lm, env, env_options, rows)
    if config.data is not None and env == imported.ENV_ID and "tokenizer" not in env_options:
        data = imported.folder_of(config.data, config.env_options)
        imported.check_tokens(data, read_provenance(data), made.tokenizer, config.lm)
    return made


def named(config: RunConfig, to_measure: bool = False) -> tuple[str, dict[str, Any]]:
    """The id and the options of the environment of a run; arguments and errors are those of :func:`environment`."""
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

    It takes the agent's tokenizer if the options name none and the tokenizer can write any text.

    Args:
        run: folder of the run or of its agent.
        agent: who plays.
        env: id of the environment; None takes that of the run.
        env_options: options of the environment, which override those of the run.
        rows: episodes played at once.
        to_measure: whether to play what was held out from training, if something was (:func:`environment`).

    Raises:
        ValueError: neither environment is known, or its tokens are not the agent's.
    """
    options = env_options or {}
    made = _environment_of(run, env, options, rows, to_measure)
    if "tokenizer" not in options and must_adopt(made, agent.lm.tokenizer):
        made = _environment_of(run, env, {**options, "tokenizer": str(agent_folder(run))}, rows, to_measure)
    if fingerprint(made.tokenizer) != fingerprint(agent.lm.tokenizer):
        raise ValueError(
            f"The agent in {run} has another tokenizer than the environment; make the environment with the option "
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
