"""Measures a cell's decodings on the selection episodes, and chooses the best of each protocol, greedy and sampled.

    greedy    decodings with ``greedy``: they say the same in the same context, and play each context once
    sampled   all others, including those that rank or choose among candidates, because the candidates are sampled

Each protocol also has the best decoding that does not use the agent's values, if one was tried. Its return is that of
imitation alone: with the same language model, and chosen among decodings in the same way.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from agents.benchmark.running import evaluate
from agents.benchmark.running.starts import Part
from lang_envs.episode import Episodes
from lang_envs.progress import progress_bar
from lang_envs.rollout import rollout

if TYPE_CHECKING:
    from agents.agent import Agent
    from lang_envs.rollout import Policy
    from lang_envs.vector import TokenVectorEnv

PROTOCOLS = ("greedy", "sampled")
Decoding = dict[str, Any]


def protocol_of(decoding: Mapping[str, Any]) -> str:
    """The protocol that a decoding belongs to."""
    return "greedy" if decoding.get("greedy") else "sampled"


def imitates(decoding: Mapping[str, Any]) -> bool:
    """Whether a decoding switches the agent's values off: their weight is 0, or there is one candidate."""
    without = {"advantage_weight": 0, "q_weight": 0, "candidates": 1}
    return "rank" not in decoding and any(decoding.get(name) == setting for name, setting in without.items())


@dataclass(frozen=True)
class Speaker:
    """An agent that can be decoded in several ways."""

    agent: Agent
    proposer: Agent
    """the agent that proposes candidates for decodings that rank"""
    before: Mapping[str, Any]
    """the agent's own settings; a decoding has these for all that it does not name, whatever was tried before"""

    def policy(self, decoding: Mapping[str, Any]) -> Policy:
        """The policy of a decoding; its settings of the values stay on the model until another policy is made."""
        return evaluate.decoded(self.agent, {**self.before, **decoding}, self.proposer)


class Tried(NamedTuple):
    """A decoding and its return on the selection episodes; NaN if it was the only one and was not played."""

    decoding: Decoding
    mean: float = math.nan
    """mean return"""
    error: float = math.nan
    """its standard error over episodes; 0 for a single episode"""
    episodes: int = 0
    """number of episodes played"""


def try_decodings(env: TokenVectorEnv, speaker: Speaker, decodings: Sequence[Decoding], part: Part) -> list[Tried]:
    """Plays the selection episodes with each decoding, and returns their mean returns."""
    plays = [(decoding, part.starts(once=protocol_of(decoding) == "greedy")) for decoding in decodings]
    tried: list[Tried] = []
    before = 0  # episodes of the decodings that are done
    with progress_bar("choosing how to speak", sum(len(where) for _, where in plays)) as show:
        for decoding, where in plays:
            played = []
            for done, episode in enumerate(rollout(env, speaker.policy(decoding), where), before + 1):
                played.append(episode)
                show(done)
            before += len(where)
            earned = evaluate.mean_return(Episodes.from_list(played))
            tried.append(Tried(decoding, earned["return"], earned["return_error"], len(where)))
    return tried


def best(tried: Sequence[Tried]) -> Decoding:
    """The decoding with the highest mean return; of equal ones the first."""
    return max(tried, key=lambda one: one.mean).decoding


def best_of_each(tried: Sequence[Tried]) -> dict[str, dict[str, Decoding]]:
    """For each protocol that was tried: ``"best"``, its best decoding, and ``"imitation"``, the best without values."""
    found: dict[str, dict[str, Decoding]] = {}
    for protocol in PROTOCOLS:
        if own := [one for one in tried if protocol_of(one.decoding) == protocol]:
            found[protocol] = {"best": best(own)}
            if alone := [one for one in own if imitates(one.decoding)]:
                found[protocol]["imitation"] = best(alone)
    return found
