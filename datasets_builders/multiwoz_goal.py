"""Records logs of MultiWOZ-Goal: agents of different habits serve the same goals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from datasets_builders.block_workers import Block
from datasets_builders.recorder import first_seed
from datasets_builders.shares import in_turn
from lang_envs.episode import Episode
from lang_envs.policies.multiwoz_goal import AGENTS
from lang_envs.tasks.multiwoz_goal import MultiWOZGoal
from lang_envs.vector import TokenVectorEnv

_BLOCK_EPISODES = 1024


def mixture(env: TokenVectorEnv, seed: int, agents: Sequence[str] = tuple(AGENTS)) -> Block:
    """Conversations about random goals; the agent of each is drawn, and its name is in the info.

    Args:
        env: an environment of MultiWOZ-Goal.
        seed: seed of the recording.
        agents: names of ``lang_envs.policies.multiwoz_goal.AGENTS``; a name that occurs twice is drawn twice as often.

    Raises:
        ValueError: the task is another one, an agent is unknown, or there is none.
    """
    task = env.task
    if not isinstance(task, MultiWOZGoal):
        raise ValueError(f"this recipe needs the environment MultiWOZ-Goal, got the task {type(task).__name__}")
    if not agents or not set(agents) <= AGENTS.keys():
        raise ValueError(f"agents must be some of {list(AGENTS)}, got {list(agents)}")
    policies = [(name, AGENTS[name](task, env.tokenizer)) for name in agents]
    first = first_seed(seed)

    def block(k: int) -> Iterator[Episode]:
        seeds = range(first + k * _BLOCK_EPISODES, first + (k + 1) * _BLOCK_EPISODES)
        drawn = np.random.default_rng((seeds[0], 2)).integers(len(policies), size=len(seeds)).tolist()
        yield from in_turn(env, policies, seeds, drawn)

    return block
