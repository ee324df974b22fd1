"""Endpoint: sends requests to an OpenAI-compatible server and repeats those that may succeed later."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

import httpx2
import openai

from lang_envs.policies.address import Address
from lang_envs.policies.thoughts import apart
from lang_envs.policies.wire import AnswerError, Wire
from lang_envs.tokenizers import whole

log = logging.getLogger(__name__)

Request = dict[str, Any]

_BUSY = 429
_LONGEST_WAIT = 60.0  # seconds to wait at most, even if the server asks for more
_NAMED = 20  # most models of a server that an error names


class Answer(NamedTuple):
    """The text that a model says, and its thoughts before it; empty if it shows none."""

    said: str
    thoughts: str = ""


class _Trouble(NamedTuple):
    """The reason of a failure after which the request may be repeated."""

    reason: str
    wait: float = 0.0  # seconds that the server asks to wait


class Endpoint:
    """One server. Its methods may be called from several threads at a time, also inside an event loop.

    Answers, errors and lines of the log never hold the user info or the query of the address, or the key. The logger
    ``lang_envs`` warns of each repetition of a request.

    Args:
        url: the address, as OpenAI's clients take it; ``/v1`` is added if it has no path.
        api_key: the key, which is sent as a bearer token if the address has no user info; None for no key.
        timeout: seconds to wait for one whole answer.
        retries: how often a request is repeated after status 429 or 5xx, a timeout or a lost connection.
        backoff: seconds before the first repetition; the wait doubles each time.

    Raises:
        ValueError: ``url`` is not the address of a server, ``api_key`` is not a key, or a number is out of range.
    """

    def __init__(self, url: str, api_key: str | None, timeout: float, retries: int, backoff: float) -> None:
        if not (timeout > 0 and backoff >= 0):
            raise ValueError(f"timeout must be above 0 seconds and backoff at least 0; got {timeout} and {backoff}")
        self._address = Address(url, api_key)
        self.url, self.timeout, self.retries, self.backoff = self._address.url, timeout, retries, backoff
        self._verify = httpx2.create_ssl_context()

    def client(self) -> openai.AsyncOpenAI:
        """A client for the running event loop; the caller must close it."""
        # This class repeats requests and reports redirects itself. A client that follows redirects would send the key.
        through = openai.DefaultAsyncHttpxClient(
            transport=Wire(self._address, self._verify), trust_env=False, follow_redirects=False
        )
        return openai.AsyncOpenAI(
            base_url=self.url, api_key="the Wire's", http_client=through, timeout=None, max_retries=0
        )

    async def ask(self, client: openai.AsyncOpenAI, request: Request) -> bytes:
        """The body of the answer to a request with ``messages`` or a ``prompt``; repeats the request if that may help.

        Raises:
            ConnectionError: the server cannot be reached, or fails as often as ``retries`` allows.
            ValueError: the server refuses the request.
        """
        for attempt in range(self.retries + 1):
            got = await self._attempt(client, request)
            if isinstance(got, bytes):
                return got
            trouble = got
            if attempt < self.retries:
                wait, retry = min(max(self.backoff * 2 ** min(attempt, 60), trouble.wait), _LONGEST_WAIT), attempt + 1
                log.warning("%s: %s; retry %d of %d in %.3g s", self.url, trouble.reason, retry, self.retries, wait)
                await asyncio.sleep(wait)
        raise ConnectionError(
            f"{self.url} failed {self.retries + 1} times, the last time with {trouble.reason}. Is the server running "
            "(transformers serve, vllm serve) and the address right? A slow one needs a longer timeout or less "
            "concurrency."
        )

    async def _attempt(self, client: openai.AsyncOpenAI, request: Request) -> bytes | _Trouble:
        ask = client.chat.completions if "messages" in request else client.completions
        error: Exception
        try:
            async with asyncio.timeout(self.timeout):
                return (await ask.with_raw_response.create(**request)).content
        except (openai.APIError, AnswerError, TimeoutError) as raised:
            error = raised
        # Outside the except clause, so that a new error does not carry this one, which may quote secrets.
        if isinstance(error, openai.APIStatusError):
            return await self._status(client, error.response, request)
        if isinstance(error, TimeoutError):
            return _Trouble(f"no whole answer within {self.timeout:g} seconds")
        if isinstance(error, AnswerError):
            raise ValueError(f"{self.url} {error}: is this the address of an OpenAI-compatible server?")
        return self._lost(error.__cause__ or error)

    async def _status(self, client: openai.AsyncOpenAI, response: httpx2.Response, request: Request) -> _Trouble:
        """Handles a status other than success: returns a reason to ask again, or raises an error."""
        status, said = response.status_code, self.excerpt(response.text)
        if status == _BUSY or status >= 500:
            return _Trouble(f"status {status}, {said!r}", _asked_for(response))
        what_to_try = ""
        if response.is_redirect:
            place = self.excerpt(response.headers.get("Location", ""))
            what_to_try = f" It points to {place!r}; pass that address, if you trust it with what is sent."
        if status in (401, 403):
            what_to_try = " Pass the server's api_key, or set the environment variable OPENAI_API_KEY."
        if status == 404:
            served = await self._models(client)
            known = f"it serves {', '.join(map(repr, served))}" if served else "it does not say which models it serves"
            what_to_try = f" The model asked for is {request['model']!r}; {known}."
        raise ValueError(f"{self.url} refused with status {status}: {said!r}.{what_to_try}")

    def _lost(self, error: BaseException) -> _Trouble:
        """Handles a failed connection: one that was lost is a reason to ask again, one that cannot be made an error."""
        reason = _innermost(error)
        said = self.excerpt(_words(reason).rstrip("."))
        lasting = isinstance(error, httpx2.ConnectError | httpx2.UnsupportedProtocol | httpx2.LocalProtocolError)
        if lasting and not isinstance(reason, ConnectionResetError):
            raise ConnectionError(
                f"{self.url} cannot be reached: {said}. Is the server running (transformers serve, vllm serve) and the "
                "address right?"
            )
        return _Trouble(f"{type(error).__name__}: {said}")

    async def _models(self, client: openai.AsyncOpenAI) -> list[str]:
        """The names of the first models that the server lists; empty if it lists none."""
        try:
            async with asyncio.timeout(self.timeout):
                listed = json.loads((await client.models.with_raw_response.list()).content)["data"]
            return [self.excerpt(str(entry["id"])) for entry in listed[:_NAMED]]
        except (openai.APIError, AnswerError, TimeoutError, ValueError, KeyError, TypeError, RecursionError):
            return []

    def choice(self, body: bytes) -> dict[str, Any]:
        """The first of the choices in an answer.

        Raises:
            ValueError: the answer is not that of an OpenAI-compatible server.
        """
        try:
            choice = json.loads(body)["choices"][0]
        except (ValueError, KeyError, IndexError, TypeError, RecursionError):
            choice = None
        if not isinstance(choice, dict):
            raise ValueError(
                f"{self.url} answered {self.excerpt(body.decode(errors='replace'))!r}; expected the JSON of an "
                "OpenAI-compatible server, with at least one entry in 'choices': is this the address of one?"
            )
        return choice

    def answer(self, body: bytes, chat: bool) -> Answer:
        """The text and the thoughts of an answer.

        Raises:
            ValueError: the answer is not that of an OpenAI-compatible server, or holds no text.
        """
        choice = self.choice(body)
        message = choice.get("message") if chat else choice
        message = message if isinstance(message, dict) else {}
        text = message.get("content" if chat else "text")
        said, inside = apart(text) if isinstance(text, str) else ("", "")
        fields = (message.get("reasoning_content"), message.get("reasoning"), inside)
        thoughts = "\n".join(dict.fromkeys(part.strip() for part in fields if isinstance(part, str) and part.strip()))
        if not isinstance(text, str) or (thoughts and not said and choice.get("finish_reason") != "stop"):
            field = "message.content" if chat else "text"
            got = "thoughts alone" if isinstance(text, str) else self.excerpt(repr(text))
            raise ValueError(
                f"{self.url}: expected choices[0].{field} to be a text, got {got} (finish_reason "
                f"{self.excerpt(repr(choice.get('finish_reason')))}); a model that thinks first may need a larger "
                "max_tokens"
            )
        return self._recordable(Answer(said, thoughts))

    def _recordable(self, answer: Answer) -> Answer:
        """The answer without secrets; logs a warning if it held any.

        Raises:
            ValueError: the answer holds a lone surrogate (half a character).
        """
        if not (whole(answer.said) and whole(answer.thoughts)):
            raise ValueError(
                f"{self.url} answered {self.excerpt(''.join(answer))!r}, which holds half a character (a lone "
                "surrogate): it can neither be spelled nor recorded. A server that cuts texts there needs a fix, or a "
                "larger max_tokens."
            )
        clean = Answer(*map(self._address.redact_reply, answer))
        if clean != answer:
            log.warning("%s: an answer quotes the key or the address's secrets; *** stands there instead", self.url)
        return clean

    def quotes_secrets(self, text: str) -> bool:
        """Whether a text holds the key, or the user info or the query of the address."""
        return self._address.redact_reply(text) != text

    def excerpt(self, text: str) -> str:
        """The beginning of a text, without secrets, for an error."""
        text = " ".join(self._address.redact(text).split())
        return text if len(text) <= 300 else f"{text[:300]} ..."


def _innermost(error: BaseException) -> BaseException:
    """The first cause of an error, also inside a group of errors."""
    if isinstance(error, BaseExceptionGroup):
        return _innermost(error.exceptions[0])
    cause = error.__cause__ or error.__context__
    return error if cause is None else _innermost(cause)


def _words(reason: BaseException) -> str:
    """The text of an error; for an error number of the system, the system's text."""
    if isinstance(reason, ConnectionError) or type(reason) is OSError:
        return os.strerror(reason.errno) if reason.errno else str(reason)
    return getattr(reason, "strerror", None) or str(reason) or type(reason).__name__


def _asked_for(response: httpx2.Response) -> float:
    """The seconds that the server asks to wait, given as a number or as a date."""
    said = response.headers.get("Retry-After", "")
    try:
        seconds = float(said)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(said).timestamp() - time.time()
        except (ValueError, OverflowError):
            seconds = 0.0
    return seconds if seconds > 0 else 0.0  # NaN is not above 0 either
