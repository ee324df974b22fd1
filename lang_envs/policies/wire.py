"""Wire: the HTTP transport to a server; it adds the secrets to a request last and limits the size of answers."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator

import httpx2

from lang_envs.policies.address import Address

MOST_BYTES = 16 << 20
"""most bytes of one answer"""
_MOST_OF_AN_ERROR = 64 << 10  # bytes; the rest of an error is not read
_SENT = ("Host", "Accept", "Content-Type", "Content-Length", "User-Agent")
_KEPT = (b"retry-after", b"location")


class AnswerError(ValueError):
    """An answer that is not read, for a reason that would not change if the request were repeated."""


class Wire(httpx2.AsyncBaseTransport):
    """Carries requests to one address.

    The layers above it (clients, their logs and errors) see addresses without secrets. A request carries few headers,
    none from environment variables. No proxy is used. Only the status, few headers and the body of an answer are
    returned.

    Raises:
        AnswerError: an answer is compressed, or longer than :data:`MOST_BYTES`.
    """

    def __init__(self, address: Address, verify: ssl.SSLContext) -> None:
        self._address = address
        self._pool = httpx2.AsyncHTTPTransport(verify=verify, limits=httpx2.Limits(max_connections=None))

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Sends a request, and returns the answer, whose body is still to be read."""
        headers = {name: request.headers[name] for name in _SENT if name in request.headers}
        headers["Accept-Encoding"] = "identity"
        if self._address.authorization:
            headers["Authorization"] = self._address.authorization
        url = request.url.copy_with(query=self._address.query.encode()) if self._address.query else request.url
        answer = await self._pool.handle_async_request(
            httpx2.Request(request.method, url, headers=headers, stream=request.stream, extensions=request.extensions)
        )
        coding = answer.headers.get("Content-Encoding", "identity").strip().lower()
        if coding not in ("", "identity"):
            await answer.aclose()
            raise AnswerError("answered with a compressed body though it was asked for none")
        kept = [(name, value) for name, value in answer.headers.raw if name.lower() in _KEPT]
        return httpx2.Response(answer.status_code, headers=kept, stream=_Limited(answer))

    async def aclose(self) -> None:
        """Closes all connections."""
        await self._pool.aclose()


class _Limited(httpx2.AsyncByteStream):
    """The body of an answer: refused if it is too long; the body of an error is cut."""

    def __init__(self, answer: httpx2.Response) -> None:
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        length, wanted = 0, self._answer.is_success
        assert isinstance(self._answer.stream, httpx2.AsyncByteStream)
        async for chunk in self._answer.stream:
            length += len(chunk)
            if wanted and length > MOST_BYTES:
                raise AnswerError(f"answered with more than {MOST_BYTES >> 20} MB")
            yield chunk
            if not wanted and length > _MOST_OF_AN_ERROR:
                return

    async def aclose(self) -> None:
        await self._answer.aclose()
