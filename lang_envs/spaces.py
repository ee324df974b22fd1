"""Spaces of language: any text, and a history of tokens."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from lang_envs.tokenizers import whole

SAMPLED = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 .,?!'-\n"


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


def history_space(vocabulary_size: int, max_tokens: int) -> spaces.Dict:
    """All tokens of an episode so far, under the names a transformers model gives its arguments.

    ``input_ids`` int64 [max_tokens] is right-padded, so token t stays at index t; ``attention_mask`` int8 [max_tokens]
    is 1 where there is a token.
    """
    if max_tokens < 2:
        raise ValueError(f"max_tokens must be at least 2 (an observation and an action), got {max_tokens}")
    return spaces.Dict(
        input_ids=spaces.Box(0, vocabulary_size - 1, (max_tokens,), np.int64),
        attention_mask=spaces.MultiBinary(max_tokens),
    )
