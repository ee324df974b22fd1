"""The bodies of answers in OpenAI's format: for chats and completions, whole and in pieces."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from itertools import accumulate, islice
from typing import Any

from agents.serving.asked import Asked
from agents.serving.spoken import Spoken
from lang_envs.tokenizers import decode


class Answers:
    """The answer to one request.

    Args:
        asked: the request.
        replies: ``n`` replies to the first history, then ``n`` to the next, and so on.
    """

    def __init__(self, asked: Asked, replies: Sequence[Spoken]) -> None:
        self.asked, self.replies = asked, replies
        self._facts: dict[str, Any] = {
            "id": f"{'chatcmpl' if asked.chat else 'cmpl'}-{secrets.token_hex(12)}",
            "created": int(time.time()),
            "model": asked.model,
        }
        self._told = [0] * len(replies)  # tokens whose log-probabilities were sent

    def whole(self) -> dict[str, Any]:
        """The answer at once."""
        kind = "chat.completion" if self.asked.chat else "text_completion"
        choices = [self._choice(i, reply.text, reply.finish_reason) for i, reply in enumerate(self.replies)]
        return {**self._facts, "object": kind, "choices": choices, "usage": self._usage(), **self._prompt_ids()}

    def first(self, index: int) -> dict[str, Any]:
        """The chunk before a chat reply's text, which holds the role."""
        delta = {"role": "assistant", "content": ""}
        return self._chunk([{"index": index, "delta": delta, "logprobs": None, "finish_reason": None}])

    def piece(self, index: int, text: str) -> dict[str, Any]:
        """The chunk with the next text of a reply, or with its end."""
        return self._chunk([self._choice(index, text, self.replies[index].finish_reason, piece=True)])

    def last(self) -> dict[str, Any]:
        """The chunk after all others, with the numbers of tokens."""
        return self._chunk([]) | {"usage": self._usage()}

    def _chunk(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        kind = "chat.completion.chunk" if self.asked.chat else "text_completion"
        return {**self._facts, "object": kind, "choices": choices}

    def _choice(self, index: int, text: str, finish_reason: str | None, piece: bool = False) -> dict[str, Any]:
        begin = self._told[index] if piece else 0
        said: dict[str, Any] = {"text": text}
        if self.asked.chat:
            said = {"delta": {"content": text}} if piece else {"message": {"role": "assistant", "content": text}}
        logprobs = self._logprobs(self.replies[index], begin) if self.asked.logprobs else None
        tokens = {"token_ids": self.replies[index].tokens[begin:]} if self.asked.token_ids else {}
        self._told[index] = len(self.replies[index].tokens)
        return {"index": index, **said, "logprobs": logprobs, "finish_reason": finish_reason, **tokens}

    def _logprobs(self, reply: Spoken, begin: int) -> dict[str, Any]:
        """The log-probabilities of a reply's tokens from ``begin`` on."""
        texts = decode(reply.tokenizer, [[token] for token in reply.tokens])
        starts = accumulate(map(len, texts[:-1]), initial=0)  # of each token's text, in characters
        texts, values = texts[begin:], reply.logprobs[begin:]
        if not self.asked.chat:
            offsets = list(islice(starts, begin, len(reply.tokens)))
            return {"tokens": texts, "token_logprobs": values, "top_logprobs": None, "text_offset": offsets}
        return {
            "content": [
                {"token": text, "logprob": value, "bytes": list(text.encode()), "top_logprobs": []}
                for text, value in zip(texts, values, strict=True)
            ],
            "refusal": None,
        }

    def _usage(self) -> dict[str, int]:
        prompt, said = sum(map(len, self.asked.histories)), sum(len(reply.tokens) for reply in self.replies)
        return {"prompt_tokens": prompt, "completion_tokens": said, "total_tokens": prompt + said}

    def _prompt_ids(self) -> dict[str, Any]:
        return {"prompt_token_ids": [h.tolist() for h in self.asked.histories]} if self.asked.token_ids else {}
