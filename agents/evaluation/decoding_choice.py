"""Choosing how a trained agent speaks: a grid of decodings, each of them played.

How much learned values count, how sharply an agent speaks, and which tokens its language model rules out matter as much
as training does, and no loss tells them: what each earns is measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agents.benchmark.running.protocols import Speaker, Tried, try_decodings
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
"""of the advantage, in the grid, beside 0: for values in units of the log's spread, whatever rewards are counted in"""
Q_WEIGHTS = (4, 16, 64)
"""of Q-SFT's values, which lie between 0 and 1, beside 0"""
TOP_P = (0.95, 0.8)
"""how much of the language model's probability can be said, in the grid, beside all of it"""
TARGETS = 3
"""returns asked of a Decision Transformer, the best ones"""


@dataclass(frozen=True)
class Choice:
    """What was tried, in order."""

    tried: tuple[Tried, ...]

    @property
    def best(self) -> Tried:
        """The highest mean return, the first of equals: grids begin with what is simplest.

        Nothing is asked of the lead over the others, which may be noise: whoever is chosen then is as good as they are.
        Of many the best looks better than it is, so its return here flatters it: report other episodes.
        """
        return max(self.tried, key=lambda one: one.mean)

    @property
    def alone(self) -> Tried | None:
        """The best of those in which the language model speaks alone, where others listen to values."""
        plain = [d for d in self.tried if d.decoding.get("advantage_weight") == 0 or d.decoding.get("candidates") == 1]
        return max(plain, key=lambda one: one.mean, default=None)


def grid_of(agent: Agent) -> list[dict[str, Any]]:
    """The decodings to try for an agent, the simplest first; each can be given to ``agent.policy``.

    Left out is what measured little: what the language model rules out changes nothing in a greedy agent whose values
    count little, and where they count much, sampling from all of the vocabulary was never best.
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
    """Plays each decoding from the same starts, and says what it earned; the agent stays as it is.

    The starts are those of :data:`lang_envs.seeds.SELECTION`: ``lang-envs eval`` plays others. Where the task has
    contexts each comes as often as any other, or one time less, and greedy decodings play none of them twice.

    Args:
        agent: a trained one.
        env: where to play.
        episodes: how many for each decoding.
        decodings: arguments of ``agent.policy``; ``grid_of(agent)`` by default.

    Raises:
        ValueError: no episodes or no decodings, or one that the agent cannot have.
    """
    decodings = grid_of(agent) if decodings is None else decodings
    if episodes < 1 or not decodings:
        raise ValueError(f"Choosing needs episodes and decodings, not {episodes} and {len(decodings)}.")
    config = agent.model.config
    own = {name: getattr(config, name) for name in SPOKEN if agent.needs_values}
    try:
        tried = try_decodings(env, Speaker(agent, agent, own), decodings, anywhere(env, SELECTION.first(), episodes))
    finally:
        for name, value in own.items():
            setattr(config, name, value)
    return Choice(tuple(tried))
