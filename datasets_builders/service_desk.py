"""How the logged conversations of a service desk are made: by desks of different habits."""

from __future__ import annotations

from collections.abc import Sequence

from datasets_builders.block_workers import Block
from datasets_builders.shares import shared
from lang_envs.policies.service_desk import Acting, any_act, expert, guesser, hasty, slipping
from lang_envs.rollout import Policy
from lang_envs.tasks.service_desk import ServiceDesk
from lang_envs.vector import TokenVectorEnv

DESKS = {"guesser": guesser, "hasty": hasty, "any-act": any_act, "expert": expert}
SHARES = (0.45, 0.45, 0.1, 0.0)
"""of each of ``DESKS``: nobody in the log is good from beginning to end"""
_BLOCK_EPISODES = 512


def mixture(env: TokenVectorEnv, seed: int, shares: Sequence[float] = SHARES, slips: float = 0.0) -> Block:
    """Conversations of desks of different habits; who serves is drawn for each, and noted in its info.

    Without slips a conversation gives its desk away: after a guesser's opening nobody in the log but ``any-act`` ends
    well, and who reads the whole conversation finds nothing there to put together. With them each habit is followed by
    the other's acts now and then.

    Args:
        env: of the service desk.
        seed: of the recording.
        shares: how often each of ``DESKS`` serves, in that order, as odds: they need not sum to 1.
        slips: how likely each turn of any of them is any act at all instead of its habit.

    Raises:
        ValueError: for another task, or where the shares are not four numbers >= 0, one of them positive, or slips is
            no probability.
    """
    task = env.task
    if not isinstance(task, ServiceDesk):
        raise ValueError(f"this recipe needs the environment ServiceDesk, got the task {type(task).__name__}")
    if not 0 <= slips <= 1:
        raise ValueError(f"slips is the probability of any act in each turn, from 0 to 1; got {slips}")
    desks: dict[str, Policy] = {
        name: Acting(task, slipping(acts, slips), env.tokenizer) for name, acts in DESKS.items()
    }
    return shared(env, seed, desks, shares, _BLOCK_EPISODES)
