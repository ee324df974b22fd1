"""Writes a history to the terminal as it grows, for the render mode "human"."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lang_envs.printable import printable
from lang_envs.tokenizers import transcripts

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


class Screen:
    """Writes one episode after another, with a line break at the end of each.

    The whole history is decoded each time, because a token's text may depend on its neighbours (blanks between words,
    characters of several tokens).

    Args:
        tokenizer: the tokenizer of the histories.
        on: whether anything is written.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast, on: bool) -> None:
        self._tokenizer, self._on, self._shown = tokenizer, on, ""

    def begin(self, tokens: Sequence[int]) -> None:
        """Writes the opening of an episode; an unfinished episode before it ends with a line break."""
        if self._on and self._shown:
            sys.stdout.write("\n")
        self._shown = ""
        self.show(tokens)

    def show(self, tokens: Sequence[int], over: bool = False) -> None:
        """Writes the new text. A character is written when all of its tokens are there, or when the episode is over."""
        if not self._on:
            return
        text = transcripts(self._tokenizer, [tokens])[0]
        if not over:
            text = text.rstrip("\N{REPLACEMENT CHARACTER}")
        sys.stdout.write(printable(text.removeprefix(self._shown), keep="\n\t") + "\n" * over)
        sys.stdout.flush()
        self._shown = "" if over else text
