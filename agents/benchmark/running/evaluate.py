"""Playing evaluation episodes: with trained agents, and with the policies they are shown beside."""

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
    """One episode for each of ``episodes`` seeds from ``first_seed`` on, each context as often as any other."""
    return play_from(env, policy, anywhere(env, first_seed, episodes).starts())


def play_from(env: TokenVectorEnv, policy: Policy, where: Sequence[Start]) -> Episodes:
    """One episode from each start."""
    return Episodes.from_list(list(counted("playing", len(where), rollout(env, policy, where))))


def metrics(episodes: Episodes) -> dict[str, float]:
    """Mean return with its standard error over episodes, agent tokens, and the share solved where that is known."""
    result = {
        **mean_return(episodes),
        "actions": float(episodes.is_action.sum() / len(episodes)),
        "truncated": float(episodes.truncated.mean()),
    }
    if any("success" in info for info in episodes.info):  # an episode that was cut before the first reply has none
        result["success"] = float(np.mean([bool(info.get("success")) for info in episodes.info]))
    return result


def mean_return(episodes: Episodes) -> dict[str, float]:
    """``return`` and ``return_error``, its standard error over episodes; 0 for a single one."""
    returns = episodes.returns  # [B]
    error = float(returns.std(ddof=1) / np.sqrt(len(returns))) if len(returns) > 1 else 0.0
    return {"return": float(returns.mean()), "return_error": error}


def counts(episodes: Episodes) -> dict[str, float]:
    """``episodes``, and ``distinct``: how many of them differ in their tokens, which is what a result rests on."""
    return {"episodes": len(episodes), "distinct": len({episode.tokens.tobytes() for episode in episodes})}


def decoded(agent: Agent, decoding: dict[str, Any], candidates_from: Agent | None = None) -> Policy:
    """The agent's policy under ``decoding``.

    Fields of ``ValueLMConfig`` (how the values enter) are set on the model, so that it is saved as it was reported;
    those that are not named stay as they are. ``rank`` (one of ``SCORES``) makes it say the best of ``k`` candidates,
    5 by default, which ``candidates_from`` proposes, by default itself; the rest are arguments of ``LMPolicy``.

    Raises:
        ValueError: the agent has no values to set or to rank by, there is no such option, a value cannot have it, or
            there is no such score.
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
        raise ValueError("k is of how many candidates the best is said: say by what they are ranked too, as rank=q.")
    if (by := plain.pop("rank", None)) is None:
        return agent.policy(**plain)
    if not isinstance(by, str) or by not in SCORES:
        raise ValueError(unknown("score to rank candidates by", by, SCORES))
    k = plain.pop("k", 5)
    if not isinstance(k, int):
        raise ValueError(f"k is a number of candidates, not {k!r}.")
    return Ranked((candidates_from or agent).policy(**plain), SCORES[by](agent), k)


def check_names(kind: type[Agent], decoding: Iterable[str]) -> None:
    """Refuses options of a decoding that the kind of agent has not.

    Raises:
        ValueError: naming the first.
    """
    own = [name for name, option in signature(kind.policy).parameters.items() if option.kind is not option.VAR_KEYWORD]
    shared = [*signature(LMPolicy).parameters][4:]  # behind the model, the tokenizer and what an utterance is
    known = [*own[1:], *shared, *(SPOKEN if kind.needs_values else ()), "rank", "k"]
    for name in decoding:
        if name in SPOKEN and not kind.needs_values:
            raise ValueError(f"{name} needs an agent with values, and {kind.name!r} has none.")
        if name not in known:
            raise ValueError(unknown(f"decoding option of {kind.name}", name, dict.fromkeys(known)))


def as_trained(agent: Agent) -> dict[str, Any]:
    """The decoding that a trained agent has of itself: how its values enter, where it has any."""
    settings = agent.model.config.to_dict() if agent.needs_values else {}
    return {name: value for name, value in settings.items() if name in SPOKEN}


SCORES: dict[str, Callable[[Agent], Score]] = {
    "q": QValue,
    "q_sum": lambda agent: QValue(agent, over="sum"),
    "v": StateValue,
    "likelihood": lambda agent: Likelihood(agent.policy()),
    "likelihood_per_token": lambda agent: Likelihood(agent.policy(), per_token=True),
}
"""What candidates can be ranked by (``agents.decoding.candidate_scores``)."""


def best_of(
    env: TokenVectorEnv, sampled: Policy, count: int, first: Episodes, where: Sequence[Start]
) -> dict[str, float]:
    """The mean of the best return of 1, 2 .. ``count`` episodes from each reported start.

    The first is the one reported, in ``first``; the others are ``sampled``'s, with other chances and the same start.
    """
    n = len(where)
    again = [start._replace(policy_seed=start.seed + k * n) for k in range(1, count) for start in where]
    played = counted("playing again", len(again), rollout(env, sampled, again))
    others = np.array([episode.ret for episode in played])
    returns = np.concatenate([first.returns, others]).reshape(-1, n)  # [count, n]
    best = np.maximum.accumulate(returns).mean(1)  # [count]
    return {f"best_of/{k}": float(value) for k, value in enumerate(best, 1)}
