"""How the logged conversations of a service desk are made: by desks of different habits."""

from __future__ import annotations

from collections.abc import Sequence

from datasets_builders.block_workers import Block
from datasets_builders.shares import shared
from lang_envs.policies.service_desk import AnyAct, Expert, Guesser, Hasty
from lang_envs.tasks.service_desk import ServiceDesk
from lang_envs.vector import TokenVectorEnv

DESKS = {"guesser": Guesser, "hasty": Hasty, "any-act": AnyAct, "expert": Expert}
SHARES = (0.45, 0.45, 0.1, 0.0)
"""of each of ``DESKS``: nobody in the log is good from beginning to end"""
_BLOCK_EPISODES = 4096


def mixture(env: TokenVectorEnv, seed: int, shares: Sequence[float] = SHARES) -> Block:
    """Conversations of desks of different habits; who serves is drawn for each, and noted in its info.

    Args:
        env: of the service desk.
        seed: of the recording.
        shares: how often each of ``DESKS`` serves, in that order, as odds: they need not sum to 1.

    Raises:
        ValueError: for another task, or where the shares are not four numbers >= 0, one of them positive.
    """
    task = env.task
    if not isinstance(task, ServiceDesk):
        raise ValueError(f"this recipe needs the environment ServiceDesk, got the task {type(task).__name__}")
    desks = {name: kind(task, env.tokenizer) for name, kind in DESKS.items()}
    return shared(env, seed, desks, shares, _BLOCK_EPISODES)
