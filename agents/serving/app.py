"""The server: OpenAI's chat completions and completions, spoken by ``agent.policy()``.

``transformers serve`` cannot take its place. It opens models by the name of a class in its own library, which neither
values nor folders of adapters have; it refuses log-probabilities; a seed there is the whole process's; it answers one
request after another, or many at once by a paged cache that a ``ValueLM`` has no use for; and it loads, from the hub if
need be, whatever name a request has. Here one agent is served under one name, each reply has a generator of its own,
and greedy replies are token for token those of the policy.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from agents.serving.answers import Answers
from agents.serving.asked import Asked, read_request
from agents.serving.speaker import Speaker, Wanted, teller_of
from agents.serving.spoken import Spoken
from lang_envs.markup import markup_of
from lang_envs.random_generators import OF_POLICY, generator

if TYPE_CHECKING:
    from agents.agent import Agent

MOST_BYTES = 2**24
"""of a request"""


class Server:
    """One agent's answers.

    Args:
        agent: who answers.
        name: under which requests ask for it.
        decoding: arguments of ``agent.policy`` where a request has none.

    Raises:
        ValueError: the agent cannot decode so.
    """

    def __init__(self, agent: Agent, name: str, decoding: Mapping[str, Any]) -> None:
        self.agent, self.name, self.decoding = agent, name, dict(decoding)
        self.speaker = Speaker(agent)
        self.speaker.policy(decoding)
        markup = markup_of(agent.lm.tokenizer)
        self._lead = "" if markup is None else markup.lead

    def app(self, hosts: list[str] | None = None) -> Starlette:
        """The application; where ``hosts`` are given, requests to a server of another name are refused."""
        guard = [] if hosts is None else [Middleware(TrustedHostMiddleware, allowed_hosts=hosts)]
        routes = [
            Route("/v1/chat/completions", partial(self._complete, True), methods=["POST"]),
            Route("/v1/completions", partial(self._complete, False), methods=["POST"]),
            Route("/v1/models", self._models),
            Route("/v1/models/{name:path}", self._model),
            Route("/health", self._health),
        ]

        @asynccontextmanager
        async def life(app: Starlette) -> AsyncIterator[None]:
            yield
            self.speaker.close()

        return Starlette(routes=routes, middleware=guard, lifespan=life)

    async def _health(self, request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def _models(self, request: Request) -> Response:
        return JSONResponse({"object": "list", "data": [self._card()]})

    async def _model(self, request: Request) -> Response:
        name = request.path_params["name"]
        return JSONResponse(self._card()) if name == self.name else self._unknown(name)

    def _card(self) -> dict[str, Any]:
        return {
            "id": self.name,
            "object": "model",
            "created": 0,
            "owned_by": "lang-envs",
            "algorithm": self.agent.name,
            "decoding": self.decoding,
            "max_utterance_tokens": self.agent.lm.max_utterance_tokens,
        }

    async def _complete(self, chat: bool, request: Request) -> Response:
        try:
            body = _object(await _content(request))
            name = body.get("model")
            if name != self.name:
                return self._unknown(name)
            asked = read_request(body, chat, self.agent, self.decoding)
            policy = self.speaker.policy(asked.decoding)
            if asked.logprobs and teller_of(policy) is None:
                raise ValueError(f"The log-probabilities of what {type(policy).__name__} says are not known.")
        except (ValueError, TypeError) as error:
            return _refused(400, " ".join(str(error).split()))
        return await self._answer(asked)

    async def _answer(self, asked: Asked) -> Response:
        stop = asked.decoding.get("stop", ())
        stops, tokenizer = ((stop,) if isinstance(stop, str) else tuple(stop)), self.agent.lm.tokenizer
        replies = [
            Spoken(tokenizer, self.agent.lm.end_id, stops, self._lead if asked.chat else "")
            for _ in range(asked.n * len(asked.histories))
        ]
        heard = self._ask(asked)
        if asked.stream:
            return StreamingResponse(_pieces(Answers(asked, replies), heard), media_type="text/event-stream")
        async for index, token, logprob in heard:
            if isinstance(token, Exception):
                return _refused(500, f"The agent could not answer: {token}", type="server_error")
            replies[index].finish() if token is None else replies[index].hear(token, logprob)
        return JSONResponse(Answers(asked, replies).whole())

    def _ask(self, asked: Asked) -> AsyncIterator[Heard]:
        """Asks for all replies at once -> what comes of them as it comes."""
        loop, queue = asyncio.get_running_loop(), asyncio.Queue[Heard]()
        policy = self.speaker.policy(asked.decoding)

        def tell(*heard: Any) -> None:
            loop.call_soon_threadsafe(queue.put_nowait, heard)

        for index in range(asked.n * len(asked.histories)):
            place, draw = divmod(index, asked.n)
            key = OF_POLICY if draw == 0 else (*OF_POLICY, draw)
            heard = partial(tell, index)
            self.speaker.ask(
                Wanted(
                    policy,
                    asked.histories[place],
                    generator(asked.seed, key),
                    asked.limit,
                    heard,
                    lambda error, heard=heard: heard(error, None),  # type: ignore[misc]
                )
            )
        return _until_all_ended(queue, asked.n * len(asked.histories))

    def _unknown(self, name: Any) -> Response:
        words = f"There is no model {name!r} here; this server has {self.name!r}."
        return _refused(404, words, param="model", code="model_not_found")


Heard = tuple[int, int | Exception | None, float | None]
"""which reply, its next token (None: it ended, or what went wrong), and that token's log-probability"""


async def _until_all_ended(queue: asyncio.Queue[Heard], replies: int) -> AsyncIterator[Heard]:
    while replies:
        heard = await queue.get()
        replies -= not isinstance(heard[1], int)
        yield heard


async def _pieces(answers: Answers, heard: AsyncIterator[Heard]) -> AsyncIterator[str]:
    """The events of a stream."""
    if answers.asked.chat:
        for index in range(len(answers.replies)):
            yield _event(answers.first(index))
    async for index, token, logprob in heard:
        reply = answers.replies[index]
        if isinstance(token, Exception):
            yield _event(_error(f"The agent could not answer: {token}", type="server_error"))
            return
        was_over = reply.finish_reason is not None
        text = reply.finish() if token is None else reply.hear(token, logprob)
        if text or (reply.finish_reason is not None and not was_over):
            yield _event(answers.piece(index, text))
    if answers.asked.include_usage:
        yield _event(answers.last())
    yield "data: [DONE]\n\n"


def _event(content: dict[str, Any]) -> str:
    return f"data: {json.dumps(content)}\n\n"


async def _content(request: Request) -> bytes:
    found = bytearray()
    async for part in request.stream():
        found += part
        if len(found) > MOST_BYTES:
            raise ValueError(f"A request may have {MOST_BYTES} bytes; send less.")
    return bytes(found)


def _object(content: bytes) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"A request is a JSON object, and this is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise ValueError(f"A request is a JSON object, not {type(found).__name__}.")
    return found


def _error(words: str, **more: Any) -> dict[str, Any]:
    return {"error": {"message": words, "type": "invalid_request_error", "param": None, "code": None, **more}}


def _refused(status: int, words: str, **more: Any) -> Response:
    return JSONResponse(_error(words, **more), status_code=status)
