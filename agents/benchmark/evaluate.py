"""Playing evaluation episodes: with trained agents, and with the policies they are shown beside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from agents.benchmark.experiment import REPORT_SEEDS, SELECTION_SEEDS, Cell, Experiment
from lang_envs.episode import Episodes
from lang_envs.make import language_vec
from lang_envs.rollout import Policy, rollout

if TYPE_CHECKING:
    from agents.agent import Agent
    from lang_envs.vector import TokenVectorEnv

ROWS = 256  # episodes played at once


def make_env(experiment: Experiment, rows: int = ROWS) -> TokenVectorEnv:
    """The experiment's environment."""
    return language_vec(experiment.env, rows, **experiment.env_options)


def play(env: TokenVectorEnv, policy: Policy, first_seed: int, episodes: int) -> Episodes:
    """One episode for each of ``episodes`` seeds from ``first_seed`` on."""
    return Episodes.from_list(list(rollout(env, policy, range(first_seed, first_seed + episodes))))


def metrics(episodes: Episodes) -> dict[str, float]:
    """Mean return with its standard error over episodes, agent tokens, and the share solved where that is known."""
    returns = episodes.returns  # [B]
    result = {
        "return": float(returns.mean()),
        "return_error": float(returns.std(ddof=1) / np.sqrt(len(returns))) if len(returns) > 1 else 0.0,
        "actions": float(episodes.is_action.sum() / len(episodes)),
        "truncated": float(episodes.truncated.mean()),
    }
    if "success" in episodes.info[0]:
        result["success"] = float(np.mean([bool(info.get("success")) for info in episodes.info]))
    return result


def decoded(agent: Agent, decoding: dict[str, Any]) -> Policy:
    """The agent's policy under ``decoding``.

    Fields of ``ValueLMConfig`` (how the values enter) are set on the model, so that it is saved as it was reported; the
    rest are arguments of ``LMPolicy``.
    """
    own = {name for name in decoding if name.startswith(("advantage_", "lm_"))}
    if own and not agent.needs_values:
        raise ValueError(f"{', '.join(sorted(own))} needs an agent with values, and {agent.name!r} has none.")
    for name in own:
        setattr(agent.model.config, name, decoding[name])
    return agent.policy(**{name: value for name, value in decoding.items() if name not in own})


def choose_decoding(
    env: TokenVectorEnv, agent: Agent, cell: Cell, episodes: int
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The cell's decoding with the best mean return on the selection episodes, and the returns of all."""
    if len(cell.decodings) == 1:
        return cell.decodings[0], []
    tried: list[dict[str, Any]] = []
    for decoding in cell.decodings:
        played = play(env, decoded(agent, decoding), SELECTION_SEEDS, episodes)
        tried.append({"decoding": decoding, "return": float(played.returns.mean())})
    best = max(range(len(tried)), key=lambda i: tried[i]["return"])  # the first of equals
    return cell.decodings[best], tried


def report_episodes(env: TokenVectorEnv, policy: Policy, experiment: Experiment) -> Episodes:
    """The episodes that are reported: the same starts for every agent and baseline."""
    return play(env, policy, REPORT_SEEDS, experiment.episodes)
