"""How long an episode of a log may be, and the tokenizer by whose tokens that counts."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from lang_envs.adoption import adopt
from lang_envs.pretrained import load_config
from lang_envs.tokenizers import text_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

MAX_TOKENS, MAX_UTTERANCE_TOKENS = 1024, 256


@dataclass(frozen=True)
class Limits:
    """How long an episode may be, in tokens.

    Attributes:
        tokens: of a whole episode.
        utterance: of one reply, its end token included.
        longer: whether a conversation with a longer reply is left out, or the reply is cut.
    """

    tokens: int = MAX_TOKENS
    utterance: int = MAX_UTTERANCE_TOKENS
    longer: Literal["skip", "cut"] = "skip"


def tokenizer_for(named: Any, plain: bool = False, markup: str | None = None) -> PreTrainedTokenizerFast:
    """The tokenizer that conversations are spelled with.

    Args:
        named: a tokenizer, or where one is; None: the packaged one.
        plain: whether texts are read as they stand, so that one without a chat template stays without.
        markup: how conversations are written, where not by its own chat template (``lang_envs.adoption``).
    """
    found = adopt(text_tokenizer() if named is None else named, markup)
    return found if found.chat_template or plain else adopt(found, "plain")


def token_limit_of(named: Any, tokenizer: PreTrainedTokenizerFast) -> int | None:
    """The most tokens that a tokenizer, or the model beside it, says it reads; None where neither says."""
    stated = [tokenizer.model_max_length]
    if isinstance(named, (str, os.PathLike)):
        with suppress(ValueError, OSError):  # of a tokenizer alone
            stated.append(getattr(load_config(named), "max_position_embeddings", None) or 0)
    return min((n for n in stated if 0 < n < 1_000_000), default=None)


def limits_for(
    tokenizer: PreTrainedTokenizerFast,
    named: Any = None,
    tokens: int | None = None,
    utterance: int = MAX_UTTERANCE_TOKENS,
    longer: Literal["skip", "cut"] = "skip",
) -> Limits:
    """The limits of an import; see :class:`Limits`.

    Args:
        tokenizer: that spells.
        named: where it is, and perhaps its model; None for the packaged one.
        tokens: of an episode; None: 1024, or fewer where the model reads no more.
        utterance: of a reply.
        longer: what becomes of a longer one.

    Raises:
        ValueError: the model reads fewer tokens, or the reply leaves no room for a prompt.
    """
    most = token_limit_of(named, tokenizer)
    if tokens is not None and most is not None and tokens > most:
        raise ValueError(f"--max-tokens is {tokens}, and the model reads {most} at most; ask for fewer")
    found = tokens or min(MAX_TOKENS, most or MAX_TOKENS)
    if not 1 <= utterance < found:
        raise ValueError(
            f"a reply of at most {utterance} tokens leaves no room for a prompt in an episode of {found}; set "
            "--max-utterance-tokens to fewer, or --max-tokens to more"
        )
    return Limits(found, utterance, longer)
