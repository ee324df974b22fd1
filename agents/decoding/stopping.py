"""Stop strings: texts at which an utterance ends, for models that were not trained on a conversation's markup."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lang_envs.tokenizers import decode

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


def stop_strings(stop: str | Sequence[str]) -> tuple[str, ...]:
    """One or several stop strings as a tuple.

    Raises:
        ValueError: one is not a string, or empty.
    """
    strings = (stop,) if isinstance(stop, str) else tuple(stop) if isinstance(stop, Sequence) else (stop,)
    for string in strings:
        if not isinstance(string, str) or not string:
            raise ValueError(f"stop is a text or several, such as ('\\nUser:',), none of them empty; got {stop!r}.")
    return strings


def holds_one(
    strings: Sequence[str], tokenizer: PreTrainedTokenizerFast, said: Sequence[NDArray[np.int32]]
) -> NDArray[np.bool_]:
    """Whether each of n utterances contains one of the stop strings, [n].

    The whole text is searched, because a stop string may begin and end in the middle of tokens.
    """
    return np.array([any(string in text for string in strings) for text in decode(tokenizer, said)], np.bool_)
