"""How the agent of a run speaks: chosen once after its last step, and written beside it as ``decoding.json``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasets_builders.atomic import read_object, write_text
from datasets_builders.fields import typed
from datasets_builders.provenance import read_provenance

if TYPE_CHECKING:
    from agents.agent import Agent
    from agents.training.run_config import RunConfig
    from lang_envs.vector import TokenVectorEnv

FILE = "decoding.json"


@dataclass
class Chosen:
    """What ``decoding.json`` holds."""

    decoding: dict[str, Any]
    """the one chosen: the agent's, from then on"""
    episodes: int
    """asked for, of each decoding; greedy ones play no context twice"""
    alone: int | None
    """place in ``tried`` of the best decoding in which a language model with values speaks without them"""
    tried: list[dict[str, Any]]
    """``decoding``, ``return``, ``error`` and ``episodes`` of each"""

    def __post_init__(self) -> None:
        """Checks that its parts belong together.

        Raises:
            ValueError: they do not.
        """
        if any(row.keys() != {"decoding", "return", "error", "episodes"} for row in self.tried):
            raise ValueError("a row of tried should have decoding, return, error and episodes.")
        known = self.alone is None or 0 <= self.alone < len(self.tried)
        if not known or all(row["decoding"] != self.decoding for row in self.tried):
            raise ValueError("what was chosen, or is said to speak alone, is not among tried.")

    @property
    def best(self) -> dict[str, Any]:
        """What is known of the one chosen."""
        return next(row for row in self.tried if row["decoding"] == self.decoding)


def read(out: Path) -> Chosen | None:
    """What was chosen in the run's folder, or None.

    Raises:
        ValueError: the file is damaged.
    """
    path = out / FILE
    try:
        return typed(Chosen, read_object(path), path) if path.exists() else None
    except ValueError as error:
        raise ValueError(f"{error} Delete it, and the run chooses again.") from None


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
    from agents.evaluation import decoding_choice

    choice = decoding_choice.choose(agent, env, episodes)
    rows = [{"decoding": t.decoding, "return": t.mean, "error": t.error, "episodes": t.episodes} for t in choice.tried]
    alone = None if choice.alone is None else choice.tried.index(choice.alone)
    found = {"decoding": choice.best.decoding, "episodes": episodes, "alone": alone, "tried": rows}
    write_text(out / FILE, json.dumps(found, indent=2))
    return choice.best.decoding
