"""The limits of an imported episode in tokens, and the tokenizer of an import."""

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
    """The largest numbers of tokens in an imported episode.

    Attributes:
        tokens: in the whole episode.
        utterance: in one reply, its end token included.
        longer: what to do with a longer reply: "skip" leaves its conversation out, "cut" cuts the reply.
    """

    tokens: int = MAX_TOKENS
    utterance: int = MAX_UTTERANCE_TOKENS
    longer: Literal["skip", "cut"] = "skip"


def tokenizer_for(named: Any, plain: bool = False, markup: str | None = None) -> PreTrainedTokenizerFast:
    """The tokenizer for the conversations of an import.

    Args:
        named: a tokenizer, or its name or path; None: the packaged one.
        plain: whether prompts are tokenized as they are, so that a tokenizer without a chat template gets none.
        markup: how conversations are written if not by the tokenizer's own chat template (``lang_envs.adoption``).
    """
    found = adopt(text_tokenizer() if named is None else named, markup)
    return found if found.chat_template or plain else adopt(found, "plain")


def token_limit_of(named: Any, tokenizer: PreTrainedTokenizerFast) -> int | None:
    """The largest number of tokens that a tokenizer, or the model beside it, states; None if neither states one."""
    stated = [tokenizer.model_max_length]
    if isinstance(named, (str, os.PathLike)):
        with suppress(ValueError, OSError):  # a tokenizer alone has no model configuration
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
        tokenizer: the tokenizer of the import.
        named: the name or path of the tokenizer and perhaps its model; None for the packaged one.
        tokens: the most tokens of an episode; None: 1024, or fewer if the model reads fewer.
        utterance: the most tokens of a reply.
        longer: what to do with a longer reply.

    Raises:
        ValueError: the model reads fewer than ``tokens``, or ``utterance`` leaves no room for a prompt.
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
