"""One training run as a folder: what was asked (``config.json``), its log and checkpoints, and the trained agent.

runs/x/config.json          everything needed to repeat it
runs/x/metrics.jsonl        the log; checkpoints/ while it trains
runs/x/agent/               what ``Agent.load`` opens (and but for adapters ``AutoModelForCausalLM.from_pretrained``)
runs/x/decoding.json        how the agent speaks, and what was tried (``agents.training.chosen``)
"""

from __future__ import annotations

import dataclasses
import json
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_type_hints

from datasets_builders.atomic import read_object, write_text
from datasets_builders.claim import Place, is_empty
from datasets_builders.fields import typed
from datasets_builders.folders import whole
from datasets_builders.hub import PREFIX
from lang_envs.make import language_vec, of_file
from lang_envs.misspelt import hint
from lang_envs.model_files import ALIASES
from lang_envs.plugins import asked
from lang_envs.tokenizers import fingerprint

if TYPE_CHECKING:
    from agents.agent import Agent
    from agents.data.source import Source
    from agents.training.fit_config import Evaluator, FitConfig
    from lang_envs.vector import TokenVectorEnv


@dataclass
class RunConfig:
    """A training run, as JSON-able data."""

    agent: str
    """a name in ``AGENTS``, or of an installed package, or "module:Class"; whoever reads it from a file asks
    ``lang_envs.plugins.asked`` first"""
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
    """of the weights of a model that is no size from scratch"""
    seed: int = 0
    """of the model's weights and of the order of the data"""
    decoding_episodes: int = 256
    """episodes of each decoding that is tried after the last step, to choose how the agent speaks; 0 chooses none"""


SENT = "run.json"
"""the configuration beside an agent that was sent to the hub, whose folder holds no run"""
FREE = ("decoding_episodes",)
"""what may change from one start of a run to the next"""


def read_config(path: Path) -> RunConfig:
    """The configuration of an earlier run, from its folder or its ``config.json``.

    Raises:
        ValueError: there is none, or its agent is code of a module that nobody imported.
    """
    path = path / "config.json" if path.is_dir() else path
    try:
        config = typed(RunConfig, read_object(path), path)
    except ValueError as error:
        raise ValueError(f"This is not the config.json of a training run: {error}") from None
    asked(config.agent, path)
    return config


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
    from agents.training import imported
    from agents.training.tokens import made_for
    from datasets_builders.provenance import read_provenance

    env, env_options, where = config.env, config.env_options, "the configuration of the run"
    data, provenance = None, {}
    if config.data is not None:
        data = imported.folder_of(config.data, config.env_options)
        provenance = read_provenance(data)
        found = provenance.get("env") or {}
        if env is None or env.rpartition(":")[2] == found.get("id"):
            env, env_options = env or found.get("id"), {**imported.options_of(data, found), **env_options}
            where = f"{data}, or {where},"
    if env is None and config.data is not None:
        raise ValueError(f"{config.data} does not say which environment its episodes are for: pass --env ID too.")
    if env is None:
        raise ValueError("Training needs episodes: pass --data FOLDER, or --env ID to play live, or both.")
    env, env_options = of_file(env, env_options, where)
    if to_measure:
        env_options = imported.measured_on(env, env_options)
    made = made_for(config.lm, env, env_options, rows)
    if data is not None and env == imported.ENV_ID and "tokenizer" not in env_options:
        imported.check_tokens(data, provenance, made.tokenizer, config.lm)
    return made


def train(config: RunConfig, out: Path) -> Agent:
    """Trains as ``config`` says and saves everything in ``out``; an interrupted run there is continued.

    The agent is saved after the last step, and again once it is chosen how it speaks. A run that has chosen does so
    again only where it is asked for another number of episodes. It takes a graphics card where there is one. Under
    torchrun every process calls it, and the first one chooses and writes.

    Raises:
        OSError: another run is at work in ``out``, or it was deleted meanwhile, or the disk is full.
        ValueError: the configuration cannot be run, or ``out`` holds another run.
    """
    from agents import FitConfig
    from agents.algorithms import agent_class
    from agents.training import chosen, processes
    from agents.training.fit import claimed, make_steps

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
        before = processes.first_does(lambda: chosen.read(out))
        place = Place(out)
        for _ in make_steps(agent, source, config.steps, settings):
            pass
        place.check()
        agent.decoding = None if before is None else before.decoding
        agent.save(out / "agent")
        wanted = config.decoding_episodes and (before is None or before.episodes != config.decoding_episodes)
        if wanted and (reason := chosen.why_not(config, env)):
            if processes.is_first():
                warnings.warn(reason, stacklevel=2)
        elif wanted:
            agent.decoding = processes.first_does(lambda: chosen.choose(agent, env, config.decoding_episodes, out))
            agent.save(out / "agent")
        place.check()
    return agent


def _evaluators(agent: Agent, env: TokenVectorEnv, source: Source) -> dict[str, Evaluator]:
    """What is measured during training: advantage quality, in a task that knows its values."""
    from agents.data.source import logged_of
    from agents.evaluation.advantage import quality_beside
    from agents.evaluation.known_values import known_values

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
    """Writes down what is asked for, in a folder that is empty or holds the same run.

    Raises:
        ValueError: it holds something else.
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
    from agents.models.lm import LM, SIZES
    from agents.models.lora import LoRAConfig

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
    from agents.data.source import Live, Logged, Mixed

    if not env.task.pays and (config.data is None or config.logged_fraction < 1):
        raise ValueError(
            "Live episodes need a reward, and nothing says what a reply is worth that is not in the log: pass "
            "--env-options reward=likeness, the path of a reward model, or module:function."
        )
    if config.data is None:
        return Live(env, seed=config.seed)
    logged = Logged(config.data, seed=config.seed)
    if config.logged_fraction >= 1:
        return logged
    return Mixed(logged, Live(env, seed=config.seed), config.logged_fraction)


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
    from agents.training.tokens import must_adopt

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
    try:
        config = config_of(run)
    except ValueError:
        if env is None:
            raise ValueError(f"{run} does not say which environment it was trained in; pass --env ID.") from None
        return language_vec(env, rows, **env_options)
    if env not in (None, config.env):
        return environment(dataclasses.replace(config, env=env, env_options=env_options), rows, to_measure)
    merged = {**config.env_options, **env_options}
    return environment(dataclasses.replace(config, env_options=merged), rows, to_measure)


def config_of(run: Path) -> RunConfig:
    """How a trained agent came to be, from its run's folder, its own, or one that was fetched from the hub.

    Raises:
        ValueError: nothing says so.
    """
    return read_config(run / SENT if (run / SENT).exists() else _folder_of(run))


def _folder_of(run: Path) -> Path:
    """The folder of a run, from itself or from that of its agent."""
    return run if (run / "config.json").exists() and agent_folder(run) != run else run.parent


def learned_from(run: Path) -> list[Path]:
    """The folders of logs that a trained agent learned from: its own run's, and those of the agent it started from.

    Empty where nothing says so, as of an agent that was saved outside of any run.
    """
    try:
        config = config_of(run)
    except ValueError:
        return []
    own = [] if config.data is None else [Path(config.data)]
    return own + (learned_from(Path(config.lm)) if Path(config.lm).is_dir() else [])


def held_out_from(run: Path) -> Path | None:
    """The episodes that were held out when the log was imported that a trained agent learned from; None without any."""
    from agents.training.imported import held_out_episodes

    return next((found for folder in learned_from(run) if (found := held_out_episodes(folder)) is not None), None)


def load(run: Path) -> Agent:
    """The trained agent of a run, from the run's folder or the agent's own.

    Raises:
        ValueError: there is none.
    """
    from agents import Agent

    _no_bars()
    return Agent.load(agent_folder(run))


def agent_folder(run: Path) -> Path:
    """The folder of a run's agent, from the run's folder or the agent's own."""
    return run / "agent" if whole(run / "agent").is_dir() else run


def name_of(run: Path) -> str:
    """What a run is called: the name of its folder, also where its agent's is given."""
    if str(run).startswith(PREFIX):
        return run.name.partition("@")[0]
    folder = run.resolve()
    return folder.parent.name if folder.name == "agent" and folder.parent.name else folder.name


def _no_bars() -> None:
    """Saving and loading a small model is no news; transformers shows a bar for each."""
    from transformers.utils import logging

    logging.disable_progress_bar()
