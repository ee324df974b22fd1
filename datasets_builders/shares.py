"""Records logs of several policies, each with a share of the episodes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from datasets_builders.block_workers import Block
from datasets_builders.recorder import first_seed, played
from lang_envs.episode import Episode
from lang_envs.rollout import Policy
from lang_envs.vector import TokenVectorEnv

_AT_ONCE = 256  # episodes


def shared(
    env: TokenVectorEnv, seed: int, policies: Mapping[str, Policy], shares: Sequence[float], block_size: int
) -> Block:
    """Episodes of the policies; the policy of each episode is drawn, and its name is in the info.

    Args:
        env: the environment to play in.
        seed: seed of the recording.
        policies: the policies, by their names in the log.
        shares: how often each plays, in that order, as weights that need not sum to 1.
        block_size: number of episodes that are played at once, and that an interruption may lose.

    Raises:
        ValueError: shares are not one number >= 0 for each policy, with a positive one.
    """
    odds, first = np.asarray(shares, np.float64), first_seed(seed)
    if odds.shape != (len(policies),) or not (np.isfinite(odds).all() and odds.min() >= 0 and odds.sum() > 0):
        raise ValueError(f"shares are {len(policies)} numbers >= 0, for {list(policies)}, got {list(shares)}")

    def block(k: int) -> Iterator[Episode]:
        seeds = range(first + k * block_size, first + (k + 1) * block_size)
        drawn = np.random.default_rng((seeds[0], 2)).choice(len(odds), size=len(seeds), p=odds / odds.sum())
        yield from in_turn(env, [*policies.items()], seeds, drawn.tolist())

    return block


def in_turn(
    env: TokenVectorEnv, policies: Sequence[tuple[str, Policy]], starts: Sequence[Any], drawn: Sequence[int]
) -> Iterator[Episode]:
    """One episode from each start, in order, played by the policy that was drawn for it.

    256 episodes are played at a time, so a caller that stops early does not wait for all of them. The episodes do not
    depend on how many are played at a time.

    Args:
        env: the environment to play in.
        policies: the policies with their names in the log.
        starts: [n] a start for each episode.
        drawn: [n] for each episode the index of its policy in ``policies``.
    """
    pairs = list(zip(starts, drawn, strict=True))
    for begin in range(0, len(pairs), _AT_ONCE):
        part = pairs[begin : begin + _AT_ONCE]
        own = [
            iter(list(played(env, policy, [start for start, d in part if d == i], name)))  # a list: one rollout at once
            for i, (name, policy) in enumerate(policies)
        ]
        yield from (next(own[i]) for _, i in part)
