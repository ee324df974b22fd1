"""Serves sessions of one environment over web sockets, as OpenEnv's clients expect them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import uvicorn
from fastapi import Request
from fastapi.responses import JSONResponse
from openenv.core.env_server.http_server import create_app

from lang_envs.arguments import whole_number
from lang_envs.openenv.environment import Splits, UtteranceEnvironment
from lang_envs.openenv.models import EpisodeState, UtteranceAction, UtteranceObservation

if TYPE_CHECKING:
    from fastapi import FastAPI

SESSIONS = 64
"""default of the largest number of sessions at once"""


def make_app(env_id: str, *, sessions: int = SESSIONS, **options: Any) -> FastAPI:
    """The application that serves an environment.

    Each web socket is a session with its own episodes; all sessions share one task. If the environment variable
    ``ENABLE_WEB_INTERFACE`` is "true", there is also a page at ``/web``.

    Args:
        env_id: a registered id.
        sessions: largest number of sessions at once; further clients are refused.
        **options: options of the environment.

    Raises:
        ValueError: the environment cannot be made.
        TypeError: the environment does not have an option.
    """
    sessions = whole_number(sessions, "sessions", least=1)
    app = create_app(
        partial(UtteranceEnvironment, Splits(env_id, **options)),
        UtteranceAction,
        UtteranceObservation,
        env_name=env_id,
        max_concurrent_envs=sessions,
        state_cls=EpisodeState,
    )
    for error in (ValueError, TypeError):  # for HTTP requests; a web socket reports errors itself
        app.add_exception_handler(error, _told)
    return app


async def _told(request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, status_code=422)


@contextmanager
def serving(app: FastAPI, host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """Serves in a thread until the block ends -> the address, ``http://host:port``.

    Args:
        app: the application, from :func:`make_app`.
        host: the address to listen at; "0.0.0.0" accepts connections from other machines.
        port: the port; 0 for any free one.

    Raises:
        OSError: the server cannot listen there.
    """
    # Messages are short, so compressing them takes longer than sending them.
    settings: dict[str, Any] = {"ws_per_message_deflate": False, "log_level": "warning", "timeout_graceful_shutdown": 2}
    server = uvicorn.Server(uvicorn.Config(app, host, port, **settings))
    # In a thread, so that signals reach the caller; in the main thread the server would install its own handlers.
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while thread.is_alive() and not server.started:
        thread.join(0.01)
    if not server.started:
        raise OSError(f"nothing can listen at {host}:{port}: expected a free port of this machine; try another one")
    try:
        yield f"http://{host}:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


def serve(
    app: FastAPI, host: str = "127.0.0.1", port: int = 8000, ready: Callable[[str], None] = lambda address: None
) -> None:
    """Serves until it is interrupted.

    Args:
        app: from :func:`make_app`.
        host: the address to listen at.
        port: 0 for any free one.
        ready: is told the address as soon as clients are answered there.

    Raises:
        OSError: the server cannot listen there.
    """
    with serving(app, host, port) as address:
        ready(address)
        threading.Event().wait()
