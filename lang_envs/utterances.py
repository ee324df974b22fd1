"""Makes and checks utterances and openings as tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lang_envs.markup import markup_of
from lang_envs.tokenizers import encode

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

NO_IDS = np.empty(0, np.int64)


def spell(tokenizer: PreTrainedTokenizerFast, text: str, limit: int) -> NDArray[np.int32]:
    """The tokens [n] of an utterance, its end token last, cut after ``limit`` tokens.

    The names of special tokens in the text are ordinary characters.
    """
    markup = markup_of(tokenizer)
    tokens = encode(tokenizer, [text], literally=True)[0] if markup is None else markup.reply(text)
    return np.array([*tokens, int(tokenizer.eos_token_id)][:limit], np.int32)


def opening(tokens: Sequence[int], before: Sequence[int], limit: int | None) -> list[int]:
    """The tokens that an episode opens with; none if the opening observation has none.

    Args:
        tokens: the tokens of the opening observation.
        before: the tokens that the tokenizer's template puts before a text (``tokenizers.opening_tokens``).
        limit: the most tokens of both together; the last tokens of the observation are kept. None for no limit.

    Raises:
        ValueError: the limit leaves no room for the observation.
    """
    if not tokens:
        return []
    room = len(tokens) if limit is None else limit - len(before)
    if room < 1:
        raise ValueError(f"an opening of at most {limit} tokens has no room beside the tokenizer's own {list(before)}")
    return [*before, *tokens[-room:]]


def check_tokens(
    tokens: NDArray[np.integer[Any]], vocabulary_size: int, speaker: str, unused: NDArray[np.int64] = NO_IDS
) -> None:
    """Refuses token ids that are out of range, or among those that belong to no token (``unused``).

    Raises:
        ValueError: a token is refused; the message names the ``speaker`` and the token.
        TypeError: they are not integers.
    """
    if tokens.dtype.kind not in "iu":
        raise TypeError(f"{speaker}: tokens are integers, got {tokens.dtype}")
    # As unsigned numbers, negative ones are the largest.
    if tokens.size and tokens.view(tokens.dtype.str.replace("i", "u")).max() >= vocabulary_size:
        wrong = tokens[(tokens < 0) | (tokens >= vocabulary_size)][0]
        raise ValueError(f"{speaker}: token {wrong} is out of range; the vocabulary has ids 0 to {vocabulary_size - 1}")
    if unused.size and np.isin(tokens, unused).any():
        wrong = tokens[np.isin(tokens, unused)][0]
        raise ValueError(f"{speaker}: id {wrong} belongs to no token of the vocabulary, and cannot be said")


def stack_utterances(
    utterances: Sequence[NDArray[np.int32]],
    room: NDArray[np.int64],
    *,
    limit: int,
    end_id: int,
    pad_id: int,
    vocabulary_size: int,
    unused: NDArray[np.int64],
    speaker: str,
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Checks n whole utterances and stacks them.

    A whole utterance has 1 to ``limit`` tokens and none after its end token. It ends with its end token, at the limit,
    or where the history has no more ``room`` [n].

    Returns:
        tokens [n, L] right-padded, and lengths [n], cut to the room that there is.

    Raises:
        ValueError: an utterance is not whole or has a token out of range; the message names the ``speaker``.
        TypeError: the tokens are not integers.
    """
    if len(utterances) != len(room):
        raise ValueError(f"{speaker}: expected {len(room)} utterances, got {len(utterances)}")
    lengths = np.fromiter(map(len, utterances), np.int64, len(utterances))  # [n]
    if lengths.min() < 1 or lengths.max() > limit:
        wrong = lengths[(lengths < 1) | (lengths > limit)][0]
        raise ValueError(f"{speaker}: an utterance has 1 to {limit} tokens, its end token included; got {wrong}")
    joined = np.concatenate(utterances)  # [sum of lengths]
    check_tokens(joined, vocabulary_size, speaker, unused)
    offsets = np.arange(lengths.max())  # [L]
    real = offsets < lengths[:, None]  # [n, L]
    tokens = np.full(real.shape, pad_id, np.int32)
    tokens[real] = joined
    is_end = (tokens == end_id) & real
    if (is_end & (offsets < lengths[:, None] - 1)).any():
        raise ValueError(f"{speaker}: an utterance goes on after its end token {end_id}")
    open_ended = ~is_end[np.arange(len(lengths)), lengths - 1] & (lengths < np.minimum(limit, room))
    if open_ended.any():
        wrong = np.asarray(utterances[int(open_ended.argmax())])
        raise ValueError(f"{speaker}: an utterance must end with the end token {end_id}, got {wrong}")
    return tokens, np.minimum(lengths, room)
