"""Spaces of language: any text, and a history of tokens."""

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
"""of an episode: its space alone takes 256 MiB then"""


class Utterance(gym.Space[str]):
    """Any unicode text of at most ``max_length`` characters.

    Gymnasium's ``Text`` has a fixed alphabet, by default without a blank, and ``AsyncVectorEnv`` reads it wrongly from
    shared memory (it shows the text of construction time for ever). This space is no ``Text``, so ``AsyncVectorEnv``
    refuses it in words unless it is made with ``shared_memory=False``, which works.

    Args:
        max_length: in characters.
        seed: of :meth:`sample`, which draws printable ASCII.
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
        """Whether ``x`` is a string that is not too long and can be written."""
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
    """The ids of a vocabulary that has holes: ``size`` ids without those ``unused``."""

    def __init__(self, size: int, unused: NDArray[np.int64]) -> None:
        super().__init__(size)
        self.unused = unused

    def sample(self, mask: Any = None, probability: Any = None) -> np.int64:
        """Any id that belongs to a token; ``mask`` and ``probability`` as gymnasium has them."""
        if probability is not None:
            return super().sample(probability=probability)
        known = said_ids(int(self.n), self.unused)
        return super().sample(mask=(known if mask is None else known & (np.asarray(mask) > 0)).astype(np.int8))

    def contains(self, x: Any) -> bool:
        """Whether ``x`` is the id of a token."""
        return super().contains(x) and x not in self.unused


def said_ids(size: int, unused: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which of ``size`` ids belong to a token, [V]."""
    known = np.ones(size, np.bool_)
    known[unused] = False
    return known


def token_space(size: int, unused: NDArray[np.int64]) -> spaces.Discrete:
    """One token of a vocabulary of ``size`` ids, of which those ``unused`` belong to none."""
    return TokenIds(size, unused) if unused.size else spaces.Discrete(size)


def history_space(vocabulary_size: int, max_tokens: int) -> spaces.Dict:
    """All tokens of an episode so far, under the names a transformers model gives its arguments.

    ``input_ids`` int64 [max_tokens] is right-padded, so token t stays at index t; ``attention_mask`` int8 [max_tokens]
    is 1 where there is a token.

    Raises:
        ValueError: where ``max_tokens`` is out of range.
    """
    max_tokens = max_tokens_of(max_tokens)
    return spaces.Dict(
        input_ids=spaces.Box(0, vocabulary_size - 1, (max_tokens,), np.int64),
        attention_mask=spaces.MultiBinary(max_tokens),
    )


def max_tokens_of(value: Any) -> int:
    """The most tokens of an episode as an int: at least an observation and an action.

    Raises:
        ValueError: where it is out of range.
        TypeError: where it is no integer.
    """
    return whole_number(value, "max_tokens", least=2, most=MOST_TOKENS)
