"""Trains the agent of a run in its folder, and opens it again."""

from __future__ import annotations

import dataclasses
import json
import warnings
from pathlib import Path
from typing import Any, get_type_hints

from transformers.utils import logging

from agents.agent import Agent, agent_class
from agents.data.log_facts import logged_of
from agents.data.source import Live, Logged, Mixed, Source
from agents.distributed import processes
from agents.evaluation.advantage import quality_beside
from agents.evaluation.known_values import known_values
from agents.models.lm import LM, SIZES
from agents.models.lora import LoRAConfig
from agents.runs import decoding_file
from agents.runs.config import FREE, RunConfig, agent_folder, read_config
from agents.runs.decoding_search import choose, why_not
from agents.runs.environment import environment
from agents.training.fit import claimed, make_steps
from agents.training.fit_config import Evaluator, FitConfig
from datasets_builders.atomic import write_text
from datasets_builders.claim import Place, is_empty
from lang_envs.misspelt import hint
from lang_envs.model_files import ALIASES
from lang_envs.vector import TokenVectorEnv


def train(config: RunConfig, out: Path) -> Agent:
    """Trains as ``config`` says and saves everything in ``out``; an interrupted run there is continued.

    The agent is saved after the last step, and again once its decoding is chosen. A continued run chooses again only if
    ``decoding_episodes`` has changed. Training uses a graphics card if there is one. Under torchrun every process calls
    this function; the first process chooses and writes.

    Raises:
        OSError: another run is at work in ``out``, or it was deleted meanwhile, or the disk is full.
        ValueError: the configuration cannot be run, or ``out`` holds another run.
    """
    _no_bars()
    if not 0 <= config.logged_fraction <= 1:
        raise ValueError(f"logged_fraction is a share between 0 and 1, not {config.logged_fraction}.")
    if config.seed < 0:
        raise ValueError(f"seed is a number from 0 on, not {config.seed}.")
    if config.decoding_episodes < 0:
        raise ValueError(f"decoding_episodes is a number from 0 on, not {config.decoding_episodes}.")
    kind = agent_class(config.agent)
    env = environment(config)
    settings_of = get_type_hints(kind)["config"]
    agent = kind(_language_model(config, env), settings_of(**config.config), config.seed)
    source = _source(config, env)
    measured = {"evaluators": _evaluators(agent, env, source)}
    settings: FitConfig = FitConfig(**{**config.fit, **measured, "out": out, "seed": config.seed})
    agent.model.to(processes.device())
    with claimed(out):
        processes.first_does(lambda: _begin(config, out))
        before = processes.first_does(lambda: decoding_file.read(out))
        place = Place(out)
        for _ in make_steps(agent, source, config.steps, settings):
            pass
        place.check()
        agent.decoding = None if before is None else before.decoding
        agent.save(out / "agent")
        wanted = config.decoding_episodes and (before is None or before.episodes != config.decoding_episodes)
        if wanted and (reason := why_not(config, env)):
            if processes.is_first():
                warnings.warn(reason, stacklevel=2)
        elif wanted:
            agent.decoding = processes.first_does(lambda: choose(agent, env, config.decoding_episodes, out))
            agent.save(out / "agent")
        place.check()
    return agent


def _evaluators(agent: Agent, env: TokenVectorEnv, source: Source) -> dict[str, Evaluator]:
    """What is measured during training: advantage quality, if the agent learns values and the task's are known."""
    if not agent.values_tokens:
        return {}
    logged = logged_of(source)
    try:
        known = known_values(env.task, None if logged is None else logged.data, agent.config.gamma)
    except ValueError as error:
        warnings.warn(f"Advantage quality is not measured: {error}", stacklevel=3)
        return {}
    return {"advantage": lambda agent: quality_beside(agent.model, known)} if known else {}


def _begin(config: RunConfig, out: Path) -> None:
    """Writes the configuration to ``out``, which is new, empty, or holds the same run.

    Raises:
        ValueError: ``out`` holds something else.
    """
    path, ours = out / "config.json", json.loads(json.dumps(dataclasses.asdict(config)))
    if path.exists():
        theirs = json.loads(json.dumps(dataclasses.asdict(read_config(path))))  # earlier versions had fewer settings
        if differ := ", ".join(key for key in ours if key not in FREE and theirs[key] != ours[key]):
            raise ValueError(f"{out} holds a run with other settings ({differ}). Choose another folder.")
    elif out.exists() and not is_empty(out):
        raise ValueError(f"{out} is not empty and holds no run. Choose another folder.")
    out.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(ours, indent=2))


def _language_model(config: RunConfig, env: TokenVectorEnv) -> Any:
    if config.lm not in SIZES:
        lora = None if config.lora is None else LoRAConfig(**config.lora)
        try:
            return LM.from_pretrained(config.lm, env, lora, config.seed, config.dtype)
        except ValueError as error:
            if Path(config.lm).exists() or config.lm in ALIASES:
                raise
            raise ValueError(
                f"{config.lm!r} is no folder with a model, and no size of one from scratch: "
                f"{hint(config.lm, [*SIZES, *ALIASES])} "
                f"As a name on the Hugging Face hub it failed too: {error}"
            ) from None
    if config.lora is not None:
        raise ValueError(
            f"LoRA adapts a model that has learned already, and {config.lm!r} is made from scratch. Pass --lm PATH, or "
            "leave --lora-rank at 0."
        )
    if config.dtype != "fp32":
        raise ValueError(
            f"dtype={config.dtype!r} is for a model that has learned already, and {config.lm!r} is made from scratch; "
            "--bf16 computes in bfloat16."
        )
    return LM.from_scratch(config.lm, env, seed=config.seed)


def _source(config: RunConfig, env: TokenVectorEnv) -> Source:
    if not env.task.pays and (config.data is None or config.logged_fraction < 1):
        raise ValueError(
            "Live episodes need a reward, and the environment has none for replies that are not in the log: pass "
            "--env-options reward=likeness, the path of a reward model, or module:function."
        )
    if config.data is None:
        return Live(env, seed=config.seed)
    logged = Logged(config.data, seed=config.seed)
    if config.logged_fraction >= 1:
        return logged
    return Mixed(logged, Live(env, seed=config.seed), config.logged_fraction)


def load(run: Path) -> Agent:
    """The trained agent of a run, from the run's folder or the agent's own.

    Raises:
        ValueError: there is none.
    """
    _no_bars()
    return Agent.load(agent_folder(run))


def _no_bars() -> None:
    """Hides the progress bars that transformers shows whenever it saves or loads a model."""
    logging.disable_progress_bar()
