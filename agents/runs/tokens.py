"""The default tokenizer of an environment: that of the model that plays in it."""

from __future__ import annotations

import string
from typing import TYPE_CHECKING, Any

from agents.models.sizes import SIZES
from lang_envs.adoption import adopt
from lang_envs.make import language_vec
from lang_envs.markup import MarkupError
from lang_envs.pretrained import load_tokenizer
from lang_envs.tokenizers import decode, encode, fingerprint

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from lang_envs.vector import TokenVectorEnv


def made_for(lm: str, env_id: str, options: dict[str, Any], rows: int) -> TokenVectorEnv:
    """An environment for a model to play in, with the model's tokenizer unless ``options`` name another.

    Args:
        lm: size of a model from scratch, which has no tokenizer of its own, or the source of a pretrained one.
        env_id: of the environment.
        options: of the environment.
        rows: episodes played at once.

    Raises:
        ValueError: it cannot be made.
    """
    if lm in SIZES or "tokenizer" in options:
        return language_vec(env_id, rows, **options)
    markup = options.get("markup")  # the model's tokenizer may have this markup where the environment's has not
    env = language_vec(env_id, rows, **{name: x for name, x in options.items() if name != "markup"})
    tokenizer = _tokenizer_of(lm, markup)
    if tokenizer is not None and must_adopt(env, tokenizer):
        return language_vec(env_id, rows, **options, tokenizer=lm)
    return env if markup is None else language_vec(env_id, rows, **options)


def must_adopt(env: TokenVectorEnv, tokenizer: PreTrainedTokenizerFast) -> bool:
    """Whether an environment must be made again with ``tokenizer``: theirs differ, and ``tokenizer`` writes any text.

    The tokenizer of a model that was trained in a small game has a few words or letters, and cannot write other tasks.
    """
    return fingerprint(env.tokenizer) != fingerprint(tokenizer) and _spells_any_text(tokenizer)


def _tokenizer_of(source: str, markup: str | None) -> PreTrainedTokenizerFast | None:
    """The tokenizer of a model (``lang_envs.model_files``), None where it was saved without one.

    Raises:
        MarkupError: episodes cannot be written by its chat template, and no other markup was asked for.
    """
    try:
        return adopt(load_tokenizer(source), markup)
    except MarkupError:
        raise
    except (ValueError, TypeError):  # loading the model raises an error that says what is wrong
        return None


def _spells_any_text(tokenizer: PreTrainedTokenizerFast) -> bool:
    text = string.ascii_letters + string.digits + string.punctuation
    return decode(tokenizer, encode(tokenizer, [text]))[0].strip() == text
