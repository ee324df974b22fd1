"""A small task for the tests, with randomness, replies of many lengths, info of every type, and a turn limit."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from lang_envs import Reply, Task
from lang_envs.tokenizers import character_tokenizer

TOKENS = [*"abcdefgh?! ", "<pad>", "<end>", "<say>"]


@cache
def tokenizer() -> Any:
    return character_tokenizer(TOKENS, end_token="<end>", pad_token="<pad>")


class Guess(Task[tuple[str, int]]):
    """Find the hidden letter; the environment answers "!", or as many "?" as the guess is off and a random letter."""

    def __init__(self, max_turns: int = 4, max_utterance_tokens: int = 3, max_tokens: int = 24) -> None:
        self.max_turns, self.max_utterance_tokens, self.max_tokens = max_turns, max_utterance_tokens, max_tokens

    def tokenizer(self) -> Any:
        return tokenizer()

    def begin(self, rng: np.random.Generator) -> tuple[tuple[str, int], str]:
        return ("abcdefgh"[rng.integers(8)], 0), "<say>"

    def reply(self, state: tuple[str, int], utterance: str, rng: np.random.Generator) -> Reply[tuple[str, int]]:
        hidden, turn = state
        off = abs(ord(utterance[0]) - ord(hidden)) if utterance and utterance[0] in "abcdefgh" else 8
        text = "!" if off == 0 else "?" * off + "abcdefgh"[rng.integers(8)]
        info = {"success": off == 0, "off": off, "share": off / 8, "said": utterance}
        return Reply((hidden, turn + 1), "" if off == 8 else text, -0.1 * off, off == 0, info)

    def legal_tokens(self, state: Any, said: Any, tokenizer: Any) -> Any:
        mask = np.zeros(len(tokenizer), np.bool_)
        mask[:8] = True
        mask[12] = len(said) > 0
        return mask
