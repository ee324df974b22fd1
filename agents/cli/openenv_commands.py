"""The commands ``serve-env`` and ``export-env`` for OpenEnv: dataclasses that tyro reads, and that work when called."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from rich.markup import escape
from tyro.conf import Positional, arg

from agents.cli.arguments import SetOptions, pairs
from agents.cli.commands import known_env
from agents.cli.next_steps import show_next
from agents.cli.show import console


@dataclass
class ServeEnv:
    """Serves an environment to OpenEnv clients, one session per web socket.

    Examples:
        lang-envs serve-env Wordle-v0
        lang-envs serve-env Wordle-v0 --set words=english-30 --port 8001 --sessions 256
        lang-envs serve-env ClarifyingQA-v0 --web
    """

    env: Annotated[Positional[str], arg(metavar="ENV")]
    """environment id"""
    options: SetOptions = ()
    """options of the environment, as NAME=VALUE"""
    host: str = "127.0.0.1"
    """address to listen on; by default only this machine can connect, with 0.0.0.0 every machine"""
    port: int = 8000
    """port to listen on; 0 takes a free one"""
    sessions: int = 64
    """largest number of simultaneous sessions; further clients are refused"""
    web: bool = False
    """also serve a page at /web for playing in a browser"""

    def __call__(self) -> None:
        """Serves until it is interrupted."""
        _installed()
        from lang_envs.openenv.server import make_app, serve

        if not 0 <= self.port < 2**16:
            raise ValueError(f"a port lies in [0, 65535], got {self.port}")
        if self.web:
            os.environ["ENABLE_WEB_INTERFACE"] = "true"  # OpenEnv reads this
        app = make_app(known_env(self.env), sessions=self.sessions, **pairs(self.options))

        def ready(address: str) -> None:
            page = f"; a page to play at {address}/web" if self.web else ""
            told = escape(f"{self.env} is served at {address}{page}. Ctrl-C ends it.")
            console().print(told, soft_wrap=True)
            show_next(console(), ("curl", f"{address}/health"))

        serve(app, self.host, self.port, ready)


@dataclass
class ExportEnv:
    """Writes an environment as a folder for OpenEnv's commands.

    `openenv` can then validate, build and push it.

    Examples:
        lang-envs export-env Wordle-v0 --out wordle
        openenv validate wordle --level static
    """

    env: Annotated[Positional[str], arg(metavar="ENV")]
    """environment id"""
    out: Path
    """folder to write, new or empty"""
    options: SetOptions = ()
    """options of the environment, as NAME=VALUE; they are written into the exported server"""

    def __call__(self) -> None:
        """Prints what to do next."""
        _installed()
        from lang_envs.openenv.export import export

        folder = export(known_env(self.env), self.out, **pairs(self.options))
        console().print(escape(f"{self.env} is at {folder}."), soft_wrap=True)
        show_next(console(), ("openenv", "validate", folder, "--level", "static"))


def _installed() -> None:
    """Checks that OpenEnv is installed.

    Raises:
        ValueError: it is not; the error names the extra to install.
    """
    if importlib.util.find_spec("openenv") is None:
        raise ValueError("OpenEnv is not installed: pip install 'lang-envs[openenv]'.")
