"""Playing whole episodes: the policy protocol and ``rollout``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from lang_envs.episode import Episode

if TYPE_CHECKING:
    from lang_envs.vector import TokenVectorEnv


class Turn(NamedTuple):
    """One agent utterance as it was chosen: its tokens, the end token last, and their log-probabilities where known."""

    tokens: NDArray[np.int32]  # [n]
    logprobs: NDArray[np.float32] | None = None  # [n]


class Policy(Protocol):
    """Anything that can speak."""

    def act(self, histories: Sequence[NDArray[np.int32]], rngs: Sequence[np.random.Generator]) -> list[Turn]:
        """Chooses one utterance for each history (all tokens of the episode so far).

        ``rngs`` holds a generator for each episode and is the only source of chance a policy may use: what happens in an
        episode then depends on its seed alone, never on its neighbours in the batch, on the batch's size, or on where an
        interrupted recording was resumed.
        """
        ...


class Start(NamedTuple):
    """Where an episode starts."""

    seed: int
    """of the environment"""
    policy_seed: int | None = None
    """of the policy's generator; by default it is derived from ``seed``"""
    said: Sequence[NDArray[np.int32]] = ()
    """utterances replayed before the policy takes over: how an episode is branched"""


def rollout(env: TokenVectorEnv, policy: Policy, starts: Iterable[int | Start]) -> Iterator[Episode]:
    """Plays one exact episode for each start and yields them in that order."""
    raise NotImplementedError
