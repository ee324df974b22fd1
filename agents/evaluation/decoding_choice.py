"""Chooses the decoding of a trained agent: plays a grid of decodings and measures the return of each.

The weight of the values, the temperature, and the tokens that the language model excludes matter as much as training
does. No loss determines them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agents.benchmark.running.protocols import Speaker, Tried, imitates, try_decodings
from agents.benchmark.running.starts import anywhere
from agents.decision_transformer import DecisionTransformer
from agents.models.value_config import SPOKEN
from agents.q_sft import QSFT
from agents.utterance_ilql import UtteranceILQL
from lang_envs.seeds import SELECTION

if TYPE_CHECKING:
    from agents.agent import Agent
    from lang_envs.vector import TokenVectorEnv

WEIGHTS = (1, 4, 16, 32)
"""weights of the advantage in the grid, besides 0, for values in units of the spread of the log's returns"""
Q_WEIGHTS = (4, 16, 64)
"""weights of Q-SFT's values in the grid, besides 0; these values lie between 0 and 1"""
TOP_P = (0.95, 0.8)
"""values of ``lm_top_p`` in the grid, besides 1"""
TARGETS = 3
"""number of target returns tried for a Decision Transformer, the best ones"""


@dataclass(frozen=True)
class Choice:
    """The decodings that were tried, in order."""

    tried: tuple[Tried, ...]

    @property
    def best(self) -> Tried:
        """The decoding with the highest mean return; of equal ones the first, since grids begin with the simplest.

        Its lead over the others may be noise. The best of many estimates is too high on average, so report its return
        on other episodes.
        """
        return max(self.tried, key=lambda one: one.mean)

    @property
    def alone(self) -> Tried | None:
        """The best decoding that switches the agent's values off; None if none was tried."""
        return max((one for one in self.tried if imitates(one.decoding)), key=lambda one: one.mean, default=None)


def grid_of(agent: Agent) -> list[dict[str, Any]]:
    """The decodings to try for an agent, the simplest first; each can be given to ``agent.policy``.

    The grid leaves out ``lm_top_p`` for greedy decoding with a small weight of the values, which has no effect. It also
    leaves out sampling from the whole vocabulary with a large weight, which was never the best in measurements.
    """
    plain: list[dict[str, Any]] = [{"greedy": True}, {}, *({"top_p": p} for p in TOP_P)]
    if isinstance(agent, UtteranceILQL):
        some = agent.config.candidates
        return [{**one, "candidates": 1} for one in plain] + [
            {**one, "candidates": k} for k in (some, 2 * some) for one in plain[1:]
        ]
    if agent.values_tokens:
        ruled_out: list[dict[str, Any]] = [{"lm_top_p": p} for p in TOP_P]
        gentle: list[dict[str, Any]] = [{"greedy": True}, {}, *ruled_out]
        strong = [{"greedy": True}, *({"greedy": True, **one} for one in ruled_out), *ruled_out]
        unit = agent.model.config.value_unit or 1.0
        least, *others = (float(f"{weight / unit:.3g}") for weight in WEIGHTS)
        return [{**one, "advantage_weight": weight} for weight in (0, least) for one in gentle] + [
            {**one, "advantage_weight": weight} for weight in others for one in strong
        ]
    if isinstance(agent, QSFT):
        return [{**one, "q_weight": weight} for weight in (0, *Q_WEIGHTS) for one in plain]
    if isinstance(agent, DecisionTransformer) and agent.config.form == "tokens" and agent.edges:
        return [{**one, "target": target} for target in agent.edges[: -TARGETS - 1 : -1] for one in plain]
    return plain


def choose(
    agent: Agent, env: TokenVectorEnv, episodes: int, decodings: Sequence[dict[str, Any]] | None = None
) -> Choice:
    """Plays each decoding from the same starts and measures its return; the agent does not change.

    The starts are those of :data:`lang_envs.seeds.SELECTION`; ``lang-envs eval`` plays others. If the task has
    contexts, their numbers of episodes differ by at most one, and greedy decodings play each context at most once.

    Args:
        agent: a trained agent.
        env: the environment to play in.
        episodes: number of episodes for each decoding.
        decodings: arguments of ``agent.policy``; ``grid_of(agent)`` by default.

    Raises:
        ValueError: there are no episodes or no decodings, or the agent does not take one of them.
    """
    decodings = grid_of(agent) if decodings is None else decodings
    if episodes < 1 or not decodings:
        raise ValueError(f"The choice needs episodes and decodings, not {episodes} and {len(decodings)}.")
    config = agent.model.config
    own = {name: getattr(config, name) for name in SPOKEN if agent.needs_values}
    try:
        tried = try_decodings(env, Speaker(agent, agent, own), decodings, anywhere(env, SELECTION.first(), episodes))
    finally:
        for name, value in own.items():
            setattr(config, name, value)
    return Choice(tuple(tried))
