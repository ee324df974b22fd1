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
    """A decoding, and what it earned in the episodes of the choice; NaN where there was nothing to choose."""

    decoding: Decoding
    mean: float = math.nan
    """mean return"""
    error: float = math.nan
    """its standard error over episodes; 0 of a single one"""
    episodes: int = 0
    """how many were played"""


def try_decodings(env: TokenVectorEnv, speaker: Speaker, decodings: Sequence[Decoding], part: Part) -> list[Tried]:
    """What each of the decodings earns in the episodes of the choice."""
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
    """The decoding with the highest mean, the first of equals; the first where none was tried."""
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
