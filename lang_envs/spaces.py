"""The spaces of observations and actions: any text, token ids, and histories of tokens."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from lang_envs.arguments import whole_number
from lang_envs.tokenizers import whole

SAMPLED = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 .,?!'-\n"
MOST_TOKENS = 2**24
"""largest ``max_tokens`` of an episode; its observation space alone takes 256 MiB then"""


class Utterance(gym.Space[str]):
    """Any unicode text of at most ``max_length`` characters.

    Gymnasium's ``Text`` has a fixed alphabet, by default without a blank. ``AsyncVectorEnv`` reads it wrongly from
    shared memory: it always shows the text from construction. This space is not a ``Text``, so ``AsyncVectorEnv``
    refuses it, unless it is made with ``shared_memory=False``, which works.

    Args:
        max_length: largest number of characters.
        seed: seed of :meth:`sample`, which draws printable ASCII.
    """

    def __init__(self, max_length: int, seed: int | np.random.Generator | None = None) -> None:
        if max_length < 1:
            raise ValueError(f"max_length must be at least 1, got {max_length}")
        self.max_length = max_length
        super().__init__(dtype=str, seed=seed)

    def sample(self, mask: None = None, probability: None = None) -> str:
        """A random text, empty or up to ``max_length`` long."""
        if mask is not None or probability is not None:
            raise ValueError("an Utterance is sampled without mask or probability")
        length = self.np_random.integers(self.max_length + 1)
        return "".join(SAMPLED[i] for i in self.np_random.integers(len(SAMPLED), size=length))

    def contains(self, x: Any) -> bool:
        """Whether ``x`` is a string of at most ``max_length`` characters without lone surrogates."""
        return isinstance(x, str) and len(x) <= self.max_length and whole(x)

    @property
    def is_np_flattenable(self) -> bool:
        """False: texts have no fixed size as arrays."""
        return False

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, Utterance) and self.max_length == other.max_length

    def __hash__(self) -> int:
        return hash((Utterance, self.max_length))

    def __repr__(self) -> str:
        return f"Utterance({self.max_length})"


class TokenIds(spaces.Discrete):
    """The ids of a vocabulary with gaps: the ids below ``size`` except those ``unused``."""

    def __init__(self, size: int, unused: NDArray[np.int64]) -> None:
        super().__init__(size)
        self.unused = unused

    def sample(self, mask: Any = None, probability: Any = None) -> np.int64:
        """A random id that belongs to a token; ``mask`` and ``probability`` are those of gymnasium."""
        if probability is not None:
            return super().sample(probability=probability)
        known = said_ids(int(self.n), self.unused)
        return super().sample(mask=(known if mask is None else known & (np.asarray(mask) > 0)).astype(np.int8))

    def contains(self, x: Any) -> bool:
        """Whether ``x`` is the id of a token."""
        return super().contains(x) and x not in self.unused


def said_ids(size: int, unused: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether each of ``size`` ids belongs to a token, [V]."""
    known = np.ones(size, np.bool_)
    known[unused] = False
    return known


def token_space(size: int, unused: NDArray[np.int64]) -> spaces.Discrete:
    """The space of one token of a vocabulary of ``size`` ids, except the ids ``unused``."""
    return TokenIds(size, unused) if unused.size else spaces.Discrete(size)


def history_space(vocabulary_size: int, max_tokens: int) -> spaces.Dict:
    """The space of all tokens of an episode so far, under the argument names of transformers models.

    ``input_ids`` int64 [max_tokens] is right-padded, so token t stays at index t; ``attention_mask`` int8 [max_tokens]
    is 1 where there is a token.

    Raises:
        ValueError: ``max_tokens`` is out of range.
    """
    max_tokens = max_tokens_of(max_tokens)
    return spaces.Dict(
        input_ids=spaces.Box(0, vocabulary_size - 1, (max_tokens,), np.int64),
        attention_mask=spaces.MultiBinary(max_tokens),
    )


def max_tokens_of(value: Any) -> int:
    """The most tokens of an episode as an int; there is room for at least an observation and an action.

    Raises:
        ValueError: it is out of range.
        TypeError: it is not an integer.
    """
    return whole_number(value, "max_tokens", least=2, most=MOST_TOKENS)
