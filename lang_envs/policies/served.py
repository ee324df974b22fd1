"""Served: any model behind an OpenAI-compatible server (vLLM, ``transformers serve`` ...) as a policy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from lang_envs.conversation import Conversation, Message, system, to_json, user
from lang_envs.markup import markup_of
from lang_envs.policies.endpoint import Answer
from lang_envs.policies.servers import Servers
from lang_envs.rollout import Turn
from lang_envs.speech import Speech
from lang_envs.task import Task
from lang_envs.tokenizers import decode, transcripts, whole
from lang_envs.utterances import spell

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

_TOKEN = 128  # characters; tokens of the usual vocabularies are not longer


class Served:
    """Asks a server for each utterance, with several requests at a time, and repeats a request if the server is busy.

    A history is sent as chat messages: the environment's texts are the user's messages, the agent's are the
    assistant's. For a model trained on transcripts, the history is sent as plain text. The user always speaks first,
    because many chat templates need this: a text without a speaker before the agent's first turn becomes the user's,
    or an empty message is added. The environment's tokenizer encodes the text of the reply, because the server's
    tokenizer may be another one. So there are no log-probabilities. For a server that uses the environment's own
    tokens, use :class:`~lang_envs.policies.served_tokens.ServedTokens`.

    Each request carries a seed drawn from its episode's generator. Whether equal requests get equal answers depends on
    the server. In vLLM a seed belongs to one request. In ``transformers serve`` it belongs to the whole process, so
    that only ``concurrency=1`` is repeatable. That server also samples only if the model's own
    ``generation_config.json`` says ``"do_sample": true``; otherwise it ignores the temperature and is greedy.

    The thoughts of a model before it speaks (``<think>...</think>``, or the fields ``reasoning_content`` and
    ``reasoning`` of the message) are not part of the utterance. ``rollout`` puts them into
    ``Episode.info["thoughts"]``, with an entry for each utterance. A larger ``max_tokens`` leaves room for them.

    Requests go only to ``url``: redirects are not followed and no proxy is used. The user info and the query of ``url``
    and the key are never written to files, errors or logs. If the server quotes them, ``***`` replaces them.

    Example:
        >>> policy = Served("http://localhost:8000/v1", "Qwen/Qwen3-0.6B", env.task)
        >>> record(env, policy, 1000, "data/qwen")

    Args:
        url: the address of the server, as OpenAI's clients take it; ``/v1`` is added if it has no path. User info in it
            is sent as HTTP's basic authentication, in place of a key. A query is sent with each request. The attribute
            ``url`` has neither. Several addresses are servers of one model, which share the requests; if one is lost,
            the others take over its requests.
        model: the server's name of the model.
        task: the task; its limit of tokens cuts an utterance.
        tokenizer: the environment's, if it is not the task's own.
        chat: whether to send messages and not plain text; False for a model whose tokenizer has no chat template.
        instruction: the first message to the model (in chat only); by default the task's own, unless the environment
            says it already.
        temperature: temperature of the server's sampling; 0 is greedy.
        max_tokens: most tokens of the server in one reply; by default the task's limit.
        concurrency: number of requests at a time, to each server.
        timeout: seconds to wait for one whole answer.
        retries: how often a request is repeated if the server is busy, broken or silent, or a connection is lost. The
            logger ``lang_envs`` warns each time. A server that cannot be reached is an error at once.
        backoff: seconds before the first repetition; the wait doubles each time, and the server may ask for more.
        api_key: the key; None: that of the environment variable ``OPENAI_API_KEY``. It is not stored anywhere else.
    """

    def __init__(
        self,
        url: str | Sequence[str],
        model: str,
        task: Task[Any],
        tokenizer: PreTrainedTokenizerFast | None = None,
        *,
        chat: bool = True,
        instruction: str | None = None,
        temperature: float = 1.0,
        max_tokens: int | None = None,
        concurrency: int = 8,
        timeout: float = 60.0,
        retries: int = 5,
        backoff: float = 0.5,
        api_key: str | None = None,
    ) -> None:
        if temperature < 0:
            raise ValueError(f"temperature must be at least 0, got {temperature}")
        if not (whole(model) and whole(instruction or "")):
            raise ValueError(f"model and instruction must be whole texts, got {model!r} and {instruction!r}")
        self._tokenizer = task.tokenizer() if tokenizer is None else tokenizer
        if instruction is None:
            instruction = "" if Speech(task, self._tokenizer).instructs else task.instruction
        self.model, self.chat, self.instruction = model, chat, instruction
        self.temperature, self.concurrency = temperature, concurrency
        self.max_tokens = task.max_utterance_tokens if max_tokens is None else max_tokens
        self._limit, self._longest = task.max_utterance_tokens, task.max_tokens
        self._markup = markup_of(self._tokenizer)
        self._servers = Servers(url, api_key, concurrency, timeout, retries, backoff)
        self.url = self._servers.url

    def act(self, histories: Sequence[NDArray[np.int32]], rngs: Sequence[np.random.Generator]) -> list[Turn]:
        """One utterance for each history (see ``lang_envs.Policy``); ``Turn.info`` has the thoughts, if there are any.

        Raises:
            ConnectionError: the server cannot be reached, or fails as often as ``retries`` allows.
            ValueError: the server refuses the request (an unknown model, a wrong key ...), or its answer is not valid.
        """
        seeds = [int(rng.integers(2**31)) for rng in rngs]
        return [
            Turn(
                spell(self._tokenizer, reply.said, self._limit),
                info={"thoughts": reply.thoughts} if reply.thoughts else None,
            )
            for reply in self._replies(self._asked(histories), seeds, self._limit)
        ]

    def answer(self, conversations: Sequence[Conversation]) -> list[str]:
        """The model's next message in each conversation; with this method it plays the user of ``ClarifyingQA``.

        Equal conversations get equal seeds. Thoughts are dropped.

        Raises:
            ConnectionError, ValueError: as :meth:`act`.
        """
        seeds = [crc32(repr(conversation).encode(errors="replace")) % 2**31 for conversation in conversations]
        asked = [
            self._messages(conversation) if self.chat else self._text(conversation) for conversation in conversations
        ]
        return [reply.said for reply in self._replies(asked, seeds, self._longest)]

    def _asked(self, histories: Sequence[NDArray[np.int32]]) -> list[dict[str, Any]]:
        """The part of a request that holds the history, for each history."""
        if not self.chat:
            return [self._prompt(text) for text in transcripts(self._tokenizer, histories)]
        if self._markup is None:
            return [self._messages((user(text),)) for text in transcripts(self._tokenizer, histories)]
        return [self._messages(self._markup.read(history)) for history in histories]

    def _replies(self, asked: Sequence[dict[str, Any]], seeds: Sequence[int], limit: int) -> list[Answer]:
        """The answers of the model; each text is cut to the length that ``limit`` or ``max_tokens`` tokens can have."""
        fixed = {"model": self.model, "temperature": self.temperature, "max_tokens": self.max_tokens}
        requests = [fixed | {"seed": seed} | one for one, seed in zip(asked, seeds, strict=True)]
        answers = [by.answer(body, self.chat) for body, by in self._servers.ask(requests)]
        return [
            Answer(self._utterance(answer.said[: limit * _TOKEN]), answer.thoughts[: self.max_tokens * _TOKEN])
            for answer in answers
        ]

    def _messages(self, conversation: Conversation) -> dict[str, Any]:
        """The messages of a request; a text without a speaker is the system's before a user's turn, else the user's."""
        turns, told = list(conversation), [self.instruction]
        while turns and turns[0].role == "system":
            text = turns.pop(0).content
            if turns and turns[0].role != "assistant":
                told.append(text)
            else:
                turns.insert(0, user(text))
        if not turns or turns[0].role == "assistant":
            turns.insert(0, user(""))
        said = "\n\n".join(filter(None, told))
        messages: list[Message] = [system(said), *turns] if said else turns
        for message in messages:
            _check_whole(message.content)
        return {"messages": to_json(messages)}

    def _text(self, conversation: Conversation) -> dict[str, Any]:
        if self._markup is None:
            raise ValueError("the tokenizer has no chat template to write conversations by: pass chat=True")
        return self._prompt(decode(self._tokenizer, [self._markup.opening(conversation)])[0])

    def _prompt(self, text: str) -> dict[str, Any]:
        _check_whole(text)
        return {"prompt": text, "stop": self._stops}

    @property
    def _stops(self) -> list[str]:
        """The texts that end an utterance in plain text: the end token, and the tokens that open a turn."""
        return [str(self._tokenizer.eos_token), *(self._markup.opens if self._markup else ())]

    def _utterance(self, text: str) -> str:
        """The words of a reply; plain text is cut at the first stop text, because some servers return it too."""
        for marker in () if self.chat else self._stops:
            text = text.partition(marker)[0]
        return text.strip()


def _check_whole(text: str) -> None:
    if not whole(text):
        raise ValueError(f"a transcript holds half a character (a lone surrogate), which no request can: {text!r}")
