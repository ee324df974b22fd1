"""Chooses the decoding of a run's agent, after the last training step."""

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
    """Why no decoding can be chosen in a run, in words; None where one can be chosen.

    There are two reasons. The environment may give no rewards: the environment of an imported log gives none unless an
    option names a reward. Or the run learns from logs alone, and they were recorded in no environment. The user names
    an environment for such logs, and its rewards may differ from those in the logs.
    """
    if not env.task.pays:
        return (
            "No decoding was chosen: the environment has no reward for replies that are not in the log. The agent "
            "keeps the usual decoding of its algorithm; lang-envs eval --set tries another. With --env-options "
            "reward=likeness, or a reward model or function there, the run chooses by that reward."
        )
    if config.data is None or config.logged_fraction < 1:
        return None
    if (read_provenance(Path(config.data)).get("env") or {}).get("id"):
        return None
    return (
        f"No decoding was chosen: {config.data} was recorded in no environment, and the rewards of {config.env} may "
        "differ from those in the logs. The agent keeps the usual decoding of its algorithm; lang-envs eval --set "
        "tries another."
    )


def choose(agent: Agent, env: TokenVectorEnv, episodes: int, out: Path) -> dict[str, Any]:
    """Tries decodings, writes them and their returns to ``out/decoding.json``, and returns the best.

    Args:
        agent: trained.
        env: where it plays.
        episodes: asked for, of each decoding.
        out: folder of the run.
    """
    choice = decoding_choice.choose(agent, env, episodes)
    rows = [{"decoding": t.decoding, "return": t.mean, "error": t.error, "episodes": t.episodes} for t in choice.tried]
    alone = None if choice.alone is None else choice.tried.index(choice.alone)
    found = {"decoding": choice.best.decoding, "episodes": episodes, "alone": alone, "tried": rows}
    write_text(out / FILE, json.dumps(found, indent=2))
    return choice.best.decoding
