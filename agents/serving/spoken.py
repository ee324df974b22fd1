"""The text of a reply while its tokens arrive, in pieces that later tokens do not change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lang_envs.tokenizers import decode

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

_BROKEN = "\ufffd"  # what stands for a character of which some bytes are still to come


@dataclass
class Spoken:
    """A reply, token by token.

    The text ends before the first stop string or the end token. A token may hold a part of a character, and a stop
    string may begin in one token and end in another. Text that may still change is held back.
    """

    tokenizer: PreTrainedTokenizerFast
    end_id: int
    """the token that ends an utterance"""
    stop: Sequence[str] = ()
    """stop strings"""
    lead: str = ""
    """text that the chat template puts before a reply, and that is not part of it (``Markup.lead``)"""
    tokens: list[int] = field(default_factory=list)
    """all tokens that were drawn, the end token included"""
    logprobs: list[float | None] = field(default_factory=list)
    """of each token; None where it is not known"""
    finish_reason: str | None = None
    """"stop" after the end token or a stop string, "length" after the token limit, None before the end"""
    text: str = ""
    """the text that was handed out so far"""

    def hear(self, token: int, logprob: float | None) -> str:
        """Adds a token and returns the text that can be handed out now, which may be empty."""
        if self.finish_reason is not None:  # the end token that follows a stop string was not drawn
            return ""
        self.tokens.append(token)
        self.logprobs.append(logprob)
        whole = self._whole()
        ends = [place for string in self.stop if (place := whole.find(string)) >= 0]
        if token == self.end_id or ends:
            self.finish_reason = "stop"
            return self._hand_out(whole[: min(ends, default=len(whole))])
        return self._hand_out(whole[: len(whole) - self._uncertain(whole)])

    def finish(self) -> str:
        """Ends the reply and returns the text that was held back; empty if the reply has ended before."""
        if self.finish_reason is not None:
            return ""
        self.finish_reason = "length"
        return self._hand_out(self._whole())

    def _whole(self) -> str:
        said = self.tokens[:-1] if self.tokens[-1:] == [self.end_id] else self.tokens
        text = decode(self.tokenizer, [said])[0]
        begun = self.finish_reason is None and self.lead.startswith(text)
        return "" if begun else text.removeprefix(self.lead)

    def _uncertain(self, whole: str) -> int:
        """How many of the last characters may belong to an unfinished character or begin a stop string."""
        broken = len(whole) - len(whole.rstrip(_BROKEN))
        begun = [n for string in self.stop for n in range(1, len(string)) if whole.endswith(string[:n])]
        return max([broken, *begun])

    def _hand_out(self, text: str) -> str:
        if not text.startswith(self.text):
            return ""
        piece, self.text = text[len(self.text) :], text
        return piece
