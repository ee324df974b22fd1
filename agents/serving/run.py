"""Runs the server on an address and port."""

from __future__ import annotations

import ipaddress
import socket
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import uvicorn

    from agents.agent import Agent

_NAMES = ["localhost", "127.0.0.1", "::1", "[::1]"]
_GRACE = 2  # seconds that answers have to end


def make_server(agent: Agent, name: str, decoding: Mapping[str, Any], host: str, port: int) -> uvicorn.Server:
    """Makes a server, without running it. It uses no network except its own port.

    On a loopback address it answers only requests whose Host header names that address. This stops web pages whose
    host name resolves to this machine (DNS rebinding).

    Args:
        agent: who answers.
        name: name of the model in requests.
        decoding: arguments of ``agent.policy`` where a request has none.
        host: address to listen on.
        port: port to listen on; 0 takes a free one.

    Raises:
        ImportError: the extra ``serve`` is missing.
        ValueError: the agent does not take this decoding.
    """
    try:
        import uvicorn

        from agents.serving.app import Server
    except ImportError as error:
        raise ImportError(f"Serving needs the extra serve: pip install 'lang-envs[serve]' ({error}).") from None
    if not is_loopback(host):
        warnings.warn(
            f"Everybody who reaches {host} can use this agent: the server checks no key. Listen on 127.0.0.1, or put a "
            "proxy that checks keys before the server.",
            stacklevel=2,
        )
    app = Server(agent, name, decoding).app([host, *_NAMES] if is_loopback(host) else None)
    return uvicorn.Server(
        uvicorn.Config(
            app, host=host, port=port, log_level="warning", access_log=False, timeout_graceful_shutdown=_GRACE
        )
    )


def run_server(
    agent: Agent, name: str, decoding: Mapping[str, Any], host: str, port: int, ready: Callable[[str], None]
) -> None:
    """Serves until it is interrupted; raises what ``make_server`` raises too.

    Args:
        agent: who answers.
        name: name of the model in requests.
        decoding: arguments of ``agent.policy`` where a request has none.
        host: address to listen on.
        port: port to listen on; 0 takes a free one.
        ready: called with the server's URL as soon as the port is bound.

    Raises:
        OSError: the port is taken or not allowed.
    """
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((host, port))
        except (OSError, OverflowError) as error:
            raise OSError(f"{host}, port {port} cannot be listened on ({error}); choose another --port.") from None
        server = make_server(agent, name, decoding, host, port)
        ready(f"http://{f'[{host}]' if ':' in host else host}:{listening.getsockname()[1]}")
        server.run([listening])


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
