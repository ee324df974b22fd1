"""Chooses how the agent of a run speaks, after its last step."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from agents.agent import Agent
from agents.evaluation import decoding_choice
from agents.runs.config import RunConfig
from agents.runs.decoding_file import FILE
from datasets_builders.atomic import write_text
from datasets_builders.provenance import read_provenance
from lang_envs.vector import TokenVectorEnv


def why_not(config: RunConfig, env: TokenVectorEnv) -> str | None:
    """Why nothing can be chosen in a run, in words; None where it can.

    Logs that were imported from elsewhere name no environment. The one that is named for them says how an agent speaks;
    what it rewards need not be what the logs do. And the environment of an imported log pays nothing by itself.
    """
    if not env.task.pays:
        return (
            "No decoding was chosen: nothing says what a reply is worth that is not in the log. The agent speaks as "
            "its kind usually does; lang-envs eval --set has it speak otherwise. With --env-options reward=likeness, "
            "or a model or function there, the choice goes by that."
        )
    if config.data is None or config.logged_fraction < 1:
        return None
    if (read_provenance(Path(config.data)).get("env") or {}).get("id"):
        return None
    return (
        f"No decoding was chosen: {config.data} was recorded in no environment, and what {config.env} rewards need not "
        "be what these logs do. The agent speaks as its kind usually does; lang-envs eval --set has it speak otherwise."
    )


def choose(agent: Agent, env: TokenVectorEnv, episodes: int, out: Path) -> dict[str, Any]:
    """Chooses a decoding, writes down all that were tried, and returns the one that was best."""
    choice = decoding_choice.choose(agent, env, episodes)
    rows = [{"decoding": t.decoding, "return": t.mean, "error": t.error, "episodes": t.episodes} for t in choice.tried]
    alone = None if choice.alone is None else choice.tried.index(choice.alone)
    found = {"decoding": choice.best.decoding, "episodes": episodes, "alone": alone, "tried": rows}
    write_text(out / FILE, json.dumps(found, indent=2))
    return choice.best.decoding
