"""An OpenAI-compatible server: requests that are repeated where that may help, and errors in words where it cannot."""

from __future__ import annotations

import time
from typing import Any

import httpx2

_BUSY = 429
_LONGEST_WAIT = 60.0  # seconds; a server that asks for more is waited for so long at most


class Endpoint:
    """One server. Its methods may be called from several threads at a time.

    Args:
        url: as OpenAI's clients take it; ``/v1`` is added where it has no path.
        api_key: sent as a bearer token, where there is one.
        timeout: seconds to wait for one answer.
        retries: how often a request is repeated after status 429 or 5xx, a timeout or a lost connection.
        backoff: seconds before the first repetition; they double each time.

    Raises:
        ValueError: where ``url`` is not one.
    """

    def __init__(self, url: str, api_key: str | None, timeout: float, retries: int, backoff: float) -> None:
        try:
            parsed = httpx2.URL(url)
        except httpx2.InvalidURL:
            parsed = httpx2.URL()
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise ValueError(f"expected the address of a server such as http://localhost:8000/v1, got {url!r}")
        self.url = url.rstrip("/") + ("/v1" if parsed.path in ("", "/") else "")
        self.retries, self.backoff = retries, backoff
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._client = httpx2.Client(headers=headers, timeout=timeout, limits=httpx2.Limits(max_connections=None))

    def chat(self, request: dict[str, Any]) -> str:
        """The content of the message that answers ``request["messages"]``."""
        choice = self._ask("chat/completions", request)
        message = choice.get("message")
        return self._text(message.get("content") if isinstance(message, dict) else None, "message.content", choice)

    def complete(self, request: dict[str, Any]) -> str:
        """The text that continues ``request["prompt"]``."""
        choice = self._ask("completions", request)
        return self._text(choice.get("text"), "text", choice)

    def models(self) -> list[str]:
        """The names of the models it serves; none where it does not say."""
        try:
            listed = self._client.get(f"{self.url}/models").json()
            return [str(entry["id"]) for entry in listed["data"]]
        except (httpx2.HTTPError, ValueError, KeyError, TypeError):
            return []

    def _ask(self, path: str, request: dict[str, Any]) -> dict[str, Any]:
        """The first of the choices that answer a request."""
        response = self._post(f"{self.url}/{path}", request)
        if response.status_code != httpx2.codes.OK:
            raise ValueError(self._refusal(response, request))
        try:
            choice = response.json()["choices"][0]
        except (ValueError, KeyError, IndexError, TypeError):
            choice = None
        if not isinstance(choice, dict):
            raise ValueError(
                f"{response.url} answered {_excerpt(response)!r}; expected the JSON of an OpenAI-compatible server, "
                "with at least one entry in 'choices': is this the address of one?"
            )
        return choice

    def _post(self, url: str, request: dict[str, Any]) -> httpx2.Response:
        """The answer, once it is none of those after which asking again may help."""
        for attempt in range(self.retries + 1):
            wait = self.backoff * 2**attempt
            try:
                response = self._client.post(url, json=request)
            except httpx2.TransportError as error:
                trouble = f"{type(error).__name__}: {error}".rstrip(": ")
            else:
                if response.status_code != _BUSY and response.status_code < 500:
                    return response
                trouble = f"status {response.status_code}, {_excerpt(response)!r}"
                wait = max(wait, _asked_for(response))
            if attempt < self.retries:
                time.sleep(min(wait, _LONGEST_WAIT))
        raise ConnectionError(
            f"{url} failed {self.retries + 1} times, the last time with {trouble}. Is the server running (transformers "
            "serve, vllm serve) and the address right? A slow one needs a longer timeout or less concurrency."
        )

    def _refusal(self, response: httpx2.Response, request: dict[str, Any]) -> str:
        said = f"{response.url} refused with status {response.status_code}: {_excerpt(response)!r}."
        if response.status_code in (401, 403):
            return f"{said} Pass the server's api_key, or set the environment variable OPENAI_API_KEY."
        if response.status_code == 404:
            served = self.models()
            known = f"it serves {', '.join(map(repr, served))}" if served else "it does not say which models it serves"
            return f"{said} The model asked for is {request['model']!r}; {known}."
        return said

    def _text(self, text: Any, field: str, choice: dict[str, Any]) -> str:
        if not isinstance(text, str):
            raise ValueError(
                f"{self.url}: expected choices[0].{field} to be a text, got {text!r} (finish_reason "
                f"{choice.get('finish_reason')!r}); a model that thinks first may need a larger max_tokens"
            )
        return text


def _asked_for(response: httpx2.Response) -> float:
    """Seconds the server asks to be left alone, where it says so in numbers."""
    try:
        return max(0.0, float(response.headers.get("Retry-After", 0)))
    except ValueError:
        return 0.0


def _excerpt(response: httpx2.Response) -> str:
    """The beginning of what was answered: enough to see who is there."""
    text = " ".join(response.text.split())
    return text if len(text) <= 300 else f"{text[:300]} ..."
