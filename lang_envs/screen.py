"""Writes a history to the terminal as it grows: the render mode "human"."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lang_envs.printable import printable
from lang_envs.tokenizers import transcripts

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


class Screen:
    """One episode after another, each ended by a line break.

    The whole history is read as text each time, since a token's text may depend on its neighbours: blanks between
    words, characters of several tokens.

    Args:
        tokenizer: of the histories.
        on: whether anything is written.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast, on: bool) -> None:
        self._tokenizer, self._on, self._shown = tokenizer, on, ""

    def begin(self, tokens: Sequence[int]) -> None:
        """Writes the opening of an episode; one that was under way is left."""
        if self._on and self._shown:
            sys.stdout.write("\n")
        self._shown = ""
        self.show(tokens)

    def show(self, tokens: Sequence[int], over: bool = False) -> None:
        """Writes what is new; of a character whose tokens are not all there yet, nothing before the end."""
        if not self._on:
            return
        text = transcripts(self._tokenizer, [tokens])[0]
        if not over:
            text = text.rstrip("\N{REPLACEMENT CHARACTER}")
        sys.stdout.write(printable(text.removeprefix(self._shown), keep="\n\t") + "\n" * over)
        sys.stdout.flush()
        self._shown = "" if over else text
