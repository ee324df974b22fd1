"""Makes any tokenizer fit for an environment, and sets how it writes conversations."""

from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lang_envs.chat_templates import CHATML, END, NAMED, PACKAGED
from lang_envs.markup import markup_of
from lang_envs.pretrained import load_tokenizer
from lang_envs.tokenizers import opening_tokens

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast


def adopt(
    source: str | os.PathLike[str] | PreTrainedTokenizerBase, markup: str | os.PathLike[str] | None = None
) -> PreTrainedTokenizerFast:
    """Makes any tokenizer fit for an environment. A tokenizer that is passed in is not changed; a copy is.

    Its ``eos_token`` becomes the end-of-utterance token. If its chat template closes the agent's turns with another
    special token, that token becomes the ``eos_token``. If the tokenizer has no pad token, the ``eos_token`` pads too:
    the attention mask and the recorded lengths tell the two apart, and the model's vocabulary stays as it is.

    Args:
        source: a tokenizer, or a folder, a ``.gguf`` file, ``smollm2``, or a name on the hub.
        markup: how conversations are written (:func:`set_markup`); None: by the tokenizer's own chat template.

    Raises:
        ValueError: the tokenizer has no ``eos_token``, or cannot write conversations with this markup.
        TypeError: it is not a fast tokenizer.
    """
    from transformers import PreTrainedTokenizerFast

    tokenizer: Any = load_tokenizer(source) if isinstance(source, (str, os.PathLike)) else source
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise TypeError(f"expected a PreTrainedTokenizerFast or the path of one, got {type(tokenizer).__name__}")
    if tokenizer.eos_token_id is None:
        raise ValueError(
            "the tokenizer has no eos_token to end an utterance with; set tokenizer.eos_token to one of its own"
        )
    if tokenizer is source and (markup is not None or not _is_fit(tokenizer)):
        tokenizer = copy.deepcopy(tokenizer)
    tokenizer.clean_up_tokenization_spaces = False
    tokenizer = _ending_turns(tokenizer) if markup is None else set_markup(tokenizer, markup)
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    return tokenizer


def _is_fit(tokenizer: PreTrainedTokenizerFast) -> bool:
    """Whether :func:`adopt` would change nothing in the tokenizer."""
    markup = markup_of(tokenizer)
    ends = markup is None or markup.end == tokenizer.eos_token
    return ends and tokenizer.pad_token_id is not None and not tokenizer.clean_up_tokenization_spaces


def set_markup(tokenizer: PreTrainedTokenizerFast, markup: str | os.PathLike[str]) -> PreTrainedTokenizerFast:
    """Sets how a tokenizer writes conversations, and returns it.

    Args:
        tokenizer: the tokenizer, which is changed: its chat template, and its ``eos_token`` if the template closes
            turns with another token.
        markup: "chat", the tokenizer's own chat template; "markers", that of the packaged tokenizer; "chatml" or
            "plain" (:mod:`lang_envs.chat_templates`); or the path of a file with a chat template.

    Raises:
        ValueError: there is no such markup, or the tokenizer cannot write it.
    """
    if markup == "chat":
        if not tokenizer.chat_template:
            raise ValueError("the tokenizer has no chat template of its own: choose markup='plain', or name a file")
        return tokenizer
    template = NAMED.get(str(markup))
    if template is None:
        file = Path(markup)
        if not file.is_file():
            raise ValueError(
                f"markup is 'chat', one of {[*NAMED]}, or the path of a chat template, got {str(markup)!r}"
            )
        template = file.read_text(encoding="utf-8")
    needed = {PACKAGED: (END,), CHATML: ("<|im_start|>", "<|im_end|>")}.get(template, ())
    missing = [token for token in needed if token not in tokenizer.get_vocab()]
    if missing:
        raise ValueError(f"the tokenizer has no token {missing[0]!r}, which the markup {str(markup)!r} needs")
    opens = template in NAMED.values() and opening_tokens(tokenizer)
    tokenizer.chat_template = "{{ bos_token }}" * bool(opens) + template
    return _ending_turns(tokenizer)


def _ending_turns(tokenizer: PreTrainedTokenizerFast) -> PreTrainedTokenizerFast:
    """Makes the token with which the chat template closes the agent's turns the ``eos_token``."""
    markup = markup_of(tokenizer)
    if markup is not None and markup.end != tokenizer.eos_token:
        tokenizer.eos_token = markup.end
    return tokenizer
