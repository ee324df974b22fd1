"""Plays evaluation episodes and computes their metrics; makes an agent's policy under a decoding."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from inspect import signature
from typing import TYPE_CHECKING, Any

import numpy as np

from agents.benchmark.experiment import Experiment
from agents.benchmark.running.starts import anywhere
from agents.decoding.candidate_scores import Likelihood, QValue, Score, StateValue
from agents.decoding.policy import LMPolicy
from agents.decoding.rank import Ranked
from agents.models.value_config import SPOKEN, check_spoken
from lang_envs.episode import Episodes
from lang_envs.make import language_vec
from lang_envs.misspelt import unknown
from lang_envs.progress import counted
from lang_envs.rollout import Policy, Start, rollout

if TYPE_CHECKING:
    from agents.agent import Agent
    from lang_envs.vector import TokenVectorEnv

ROWS = 256  # episodes played at once


def make_env(experiment: Experiment, rows: int = ROWS) -> TokenVectorEnv:
    """The experiment's environment."""
    return language_vec(experiment.env, rows, **experiment.env_options)


def selection_env(experiment: Experiment, rows: int = ROWS) -> TokenVectorEnv:
    """The environment that decodings and settings are chosen in."""
    options = experiment.env_options if experiment.selection_options is None else experiment.selection_options
    return language_vec(experiment.env, rows, **options)


def play(env: TokenVectorEnv, policy: Policy, first_seed: int, episodes: int) -> Episodes:
    """Plays ``episodes`` episodes, with the seeds from ``first_seed`` on; contexts are shared out evenly."""
    return play_from(env, policy, anywhere(env, first_seed, episodes).starts())


def play_from(env: TokenVectorEnv, policy: Policy, where: Sequence[Start]) -> Episodes:
    """Plays one episode from each start."""
    return Episodes.from_list(list(counted("playing", len(where), rollout(env, policy, where))))


def metrics(episodes: Episodes) -> dict[str, float]:
    """Metrics of episodes.

    Returns:
        ``return`` and ``return_error`` (:func:`mean_return`), ``actions`` (agent tokens per episode), ``truncated``
        (share of episodes) and, if the task reports it, ``success`` (share of episodes).
    """
    result = {
        **mean_return(episodes),
        "actions": float(episodes.is_action.sum() / len(episodes)),
        "truncated": float(episodes.truncated.mean()),
    }
    if any("success" in info for info in episodes.info):  # an episode that was cut before the first reply has none
        result["success"] = float(np.mean([bool(info.get("success")) for info in episodes.info]))
    return result


def mean_return(episodes: Episodes) -> dict[str, float]:
    """``return``, the mean, and ``return_error``, its standard error over episodes; 0 for a single episode."""
    returns = episodes.returns  # [B]
    error = float(returns.std(ddof=1) / np.sqrt(len(returns))) if len(returns) > 1 else 0.0
    return {"return": float(returns.mean()), "return_error": error}


def counts(episodes: Episodes) -> dict[str, float]:
    """``episodes``, their number, and ``distinct``, the number of episodes with different tokens."""
    return {"episodes": len(episodes), "distinct": len({episode.tokens.tobytes() for episode in episodes})}


def decoded(agent: Agent, decoding: dict[str, Any], candidates_from: Agent | None = None) -> Policy:
    """The agent's policy under ``decoding``.

    Args:
        agent: the agent; options ``advantage_*`` and ``lm_*`` are set on its model, which keeps them when it is saved.
            Options of this kind that ``decoding`` does not name keep their present values.
        decoding: options of the model as above; ``rank``, one of ``SCORES``, to say the best of ``k`` candidates (5 by
            default); all others are arguments of ``agent.policy``.
        candidates_from: the agent that proposes the candidates; by default ``agent``.

    Raises:
        ValueError: an option is unknown, its value is not allowed, or the agent has no values to set or to rank by.
    """
    own = {name: value for name, value in decoding.items() if name.startswith(("advantage_", "lm_"))}
    check_names(type(agent), own)
    plain = {name: value for name, value in decoding.items() if name not in own}
    check_names(type(candidates_from or agent), plain)
    if own:
        check_spoken(**{**as_trained(agent), **own})
    for name, value in own.items():
        setattr(agent.model.config, name, value)
    if "k" in plain and "rank" not in plain:
        raise ValueError("k is the number of candidates that are ranked: also pass what ranks them, as in rank=q.")
    if (by := plain.pop("rank", None)) is None:
        return agent.policy(**plain)
    if not isinstance(by, str) or by not in SCORES:
        raise ValueError(unknown("score to rank candidates by", by, SCORES))
    k = plain.pop("k", 5)
    if not isinstance(k, int):
        raise ValueError(f"k is a number of candidates, not {k!r}.")
    return Ranked((candidates_from or agent).policy(**plain), SCORES[by](agent), k)


def check_names(kind: type[Agent], decoding: Iterable[str]) -> None:
    """Checks that a kind of agent has these options of a decoding.

    Raises:
        ValueError: it does not have one; the error names the first.
    """
    own = [name for name, option in signature(kind.policy).parameters.items() if option.kind is not option.VAR_KEYWORD]
    shared = [*signature(LMPolicy).parameters][4:]  # without the model, the tokenizer and the limits of an utterance
    known = [*own[1:], *shared, *(SPOKEN if kind.needs_values else ()), "rank", "k"]
    for name in decoding:
        if name in SPOKEN and not kind.needs_values:
            raise ValueError(f"{name} needs an agent with values, and {kind.name!r} has none.")
        if name not in known:
            raise ValueError(unknown(f"decoding option of {kind.name}", name, dict.fromkeys(known)))


def as_trained(agent: Agent) -> dict[str, Any]:
    """The settings of its values that a trained agent has now; empty if it has no values."""
    settings = agent.model.config.to_dict() if agent.needs_values else {}
    return {name: value for name, value in settings.items() if name in SPOKEN}


SCORES: dict[str, Callable[[Agent], Score]] = {
    "q": QValue,
    "q_sum": lambda agent: QValue(agent, over="sum"),
    "v": StateValue,
    "likelihood": lambda agent: Likelihood(agent.policy()),
    "likelihood_per_token": lambda agent: Likelihood(agent.policy(), per_token=True),
}
"""Scores that candidates can be ranked by (``agents.decoding.candidate_scores``)."""


def best_of(
    env: TokenVectorEnv, sampled: Policy, count: int, first: Episodes, where: Sequence[Start]
) -> dict[str, float]:
    """``best_of/k``: the mean over starts of the best return of k episodes, for k = 1 .. ``count``.

    Args:
        env: the environment to play in.
        sampled: the policy of all episodes but the first.
        count: largest number of episodes from one start.
        first: the reported episodes, one for each start.
        where: the starts; further episodes differ in the seed of the policy only.
    """
    n = len(where)
    again = [start._replace(policy_seed=start.seed + k * n) for k in range(1, count) for start in where]
    played = counted("playing again", len(again), rollout(env, sampled, again))
    others = np.array([episode.ret for episode in played])
    returns = np.concatenate([first.returns, others]).reshape(-1, n)  # [count, n]
    best = np.maximum.accumulate(returns).mean(1)  # [count]
    return {f"best_of/{k}": float(value) for k, value in enumerate(best, 1)}
