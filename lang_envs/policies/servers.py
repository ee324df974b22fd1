"""Servers: distributes requests among servers of one model; each takes the next request when it has room."""

from __future__ import annotations

import asyncio
import logging
import os
from collections import deque
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, suppress
from typing import Any, NamedTuple, TypeVar

import openai

from lang_envs.policies.endpoint import Endpoint, Request

log = logging.getLogger(__name__)

T = TypeVar("T")


class Answered(NamedTuple):
    """The body of an answer, and the server that sent it."""

    body: bytes
    by: Endpoint


class Servers:
    """Servers of one model. Methods may be called from several threads at a time, also inside an event loop.

    Args:
        url: the address of a server, or several addresses.
        api_key: the key of all servers; None: that of the environment variable ``OPENAI_API_KEY``, if any.
        concurrency: number of requests at a time, to each server.
        timeout: seconds to wait for one whole answer.
        retries: how often a request is repeated at the same server.
        backoff: seconds before the first repetition.

    Attributes:
        url: the address or addresses without their secrets.
    """

    def __init__(
        self,
        url: str | Sequence[str],
        api_key: str | None,
        concurrency: int,
        timeout: float,
        retries: int,
        backoff: float,
    ) -> None:
        urls = [url] if isinstance(url, str) else [*url]
        if not urls:
            raise ValueError("name at least one server, got none")
        if concurrency < 1 or retries < 0:
            raise ValueError(f"concurrency must be at least 1 and retries at least 0; got {concurrency} and {retries}")
        api_key = os.environ.get("OPENAI_API_KEY") if api_key is None else api_key
        self._concurrency = concurrency
        self._endpoints = [Endpoint(url, api_key, timeout, retries, backoff) for url in urls]
        told = [endpoint.url for endpoint in self._endpoints]
        self.url = told if len(told) > 1 else told[0]

    def ask(self, requests: Sequence[Request]) -> list[Answered]:
        """The answer to each request.

        If a server is lost, the others take over its requests, and a warning is logged. Any other failure cancels all
        requests.

        Raises:
            ConnectionError: the last server is lost: it cannot be reached, or fails too often.
            ValueError: a request is refused.
        """
        return _waited_for(self._ask(requests)) if requests else []

    async def _ask(self, requests: Sequence[Request]) -> list[Answered]:
        waiting, alive = deque(enumerate(requests)), {*range(len(self._endpoints))}
        answers: list[Answered | None] = [None] * len(requests)

        async def work(number: int, client: openai.AsyncOpenAI) -> None:
            endpoint = self._endpoints[number]
            while waiting and number in alive:
                at, request = waiting.popleft()
                try:
                    answers[at] = Answered(await endpoint.ask(client, request), endpoint)
                except ConnectionError as error:
                    if len(alive) == 1 and number in alive:
                        raise
                    waiting.appendleft((at, request))
                    if number in alive:
                        alive.discard(number)
                        log.warning("%s The other servers go on without it.", error)

        async with AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(endpoint.client()) for endpoint in self._endpoints]
            while waiting:  # again if a lost server gave back requests after the others had ended
                tasks = [
                    asyncio.ensure_future(work(i, clients[i]))
                    for i in alive
                    for _ in range(min(self._concurrency, len(waiting)))
                ]
                try:
                    await asyncio.gather(*tasks)
                finally:
                    for task in tasks:
                        task.cancel()
                    await asyncio.gather(*tasks, return_exceptions=True)
        return [answer for answer in answers if answer is not None]


def _waited_for(work: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine in a thread, because the caller's may have an event loop; an interruption cancels it."""
    loop = asyncio.new_event_loop()
    task = loop.create_task(work)
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(_run, loop, task)
        try:
            return waiting.result()
        finally:
            if not waiting.done():
                with suppress(RuntimeError):  # the loop may have ended meanwhile
                    loop.call_soon_threadsafe(task.cancel)


def _run(loop: asyncio.AbstractEventLoop, task: asyncio.Task[T]) -> T:
    try:
        return loop.run_until_complete(task)
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
