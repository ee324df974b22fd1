"""Greedy and sampled, side by side: what a cell's decodings earn where they are chosen, and the best of each protocol.

    greedy    decodings with ``greedy``: they say the same in the same context, and play each context once
    sampled   all others, those that rank or choose among candidates too: the candidates are drawn

Beside the best of a protocol stands, where there are any, the best of the decodings that leave the agent's values out:
what imitation alone earns with the same language model and as careful a choice.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from agents.benchmark.running import evaluate
from agents.benchmark.running.starts import Part

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
    """Whether it leaves out values that it could have used: it says so by an ``advantage_weight`` of 0."""
    return decoding.get("advantage_weight") == 0 and "rank" not in decoding


@dataclass(frozen=True)
class Speaker:
    """An agent that can be decoded in several ways."""

    agent: Agent
    proposer: Agent
    """who proposes the candidates of those decodings that rank"""
    before: Mapping[str, Any]
    """the decoding that the agent has of itself: what a decoding does not name is as here, whatever was tried before"""

    def policy(self, decoding: Mapping[str, Any]) -> Policy:
        """Its policy; the settings of the values are on its model until another policy is made."""
        return evaluate.decoded(self.agent, {**self.before, **decoding}, self.proposer)


class Tried(NamedTuple):
    """A decoding, and its mean return in the episodes of the choice; NaN where there was nothing to choose."""

    decoding: Decoding
    mean: float


def try_decodings(env: TokenVectorEnv, speaker: Speaker, decodings: Sequence[Decoding], part: Part) -> list[Tried]:
    """What each of the decodings earns in the episodes of the choice."""
    tried = []
    for decoding in decodings:
        where = part.starts(once=protocol_of(decoding) == "greedy")
        played = evaluate.play_from(env, speaker.policy(decoding), where)
        tried.append(Tried(decoding, float(played.returns.mean())))
    return tried


def untried(decodings: Sequence[Decoding]) -> list[Tried]:
    """Decodings that nothing is to be chosen among."""
    return [Tried(decoding, math.nan) for decoding in decodings]


def best(tried: Sequence[Tried]) -> Decoding:
    """The decoding with the highest mean, the first of equals."""
    return max(tried, key=lambda one: one.mean).decoding


def best_of_each(tried: Sequence[Tried]) -> dict[str, dict[str, Decoding]]:
    """For each protocol that was tried its best decoding, ``"best"``, and the best that imitates, ``"imitation"``."""
    found: dict[str, dict[str, Decoding]] = {}
    for protocol in PROTOCOLS:
        if own := [one for one in tried if protocol_of(one.decoding) == protocol]:
            found[protocol] = {"best": best(own)}
            if alone := [one for one in own if imitates(one.decoding)]:
                found[protocol]["imitation"] = best(alone)
    return found
