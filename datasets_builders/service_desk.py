"""Records logs of ServiceDesk: conversations of desks of different habits."""

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
"""share of each of ``DESKS``; with these shares no desk serves well from the first turn to the last"""
_BLOCK_EPISODES = 512


def mixture(env: TokenVectorEnv, seed: int, shares: Sequence[float] = SHARES, slips: float = 0.0) -> Block:
    """Conversations of desks of different habits; the desk of each is drawn, and its name is in the info.

    Without slips the opening shows which desk serves. After a guesser's opening no desk except ``any-act`` ends well,
    so the log holds almost no conversation with a good opening and a good end. With slips each desk sometimes does a
    random act.

    Args:
        env: an environment of ServiceDesk.
        seed: seed of the recording.
        shares: how often each of ``DESKS`` serves, in that order, as weights that need not sum to 1.
        slips: probability that a desk does a random act in a turn instead of its habit.

    Raises:
        ValueError: the task is another one, shares are not four numbers >= 0 with a positive one, or slips is not a
            probability.
    """
    task = env.task
    if not isinstance(task, ServiceDesk):
        raise ValueError(f"this recipe needs the environment ServiceDesk, got the task {type(task).__name__}")
    if not 0 <= slips <= 1:
        raise ValueError(f"slips is the probability of a random act in each turn, from 0 to 1; got {slips}")
    desks: dict[str, Policy] = {
        name: Acting(task, slipping(acts, slips), env.tokenizer) for name, acts in DESKS.items()
    }
    return shared(env, seed, desks, shares, _BLOCK_EPISODES)
