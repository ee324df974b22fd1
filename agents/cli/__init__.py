"""The ``lang-envs`` command: ``lang-envs COMMAND --help`` says what each does."""

from __future__ import annotations

import inspect
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import gymnasium
from rich.markup import escape
from rich.table import Table

from agents.algorithms import AGENTS
from agents.allocator import keep_freed_memory
from agents.cli import interrupts
from agents.cli.agent_commands import Eval, Explain
from agents.cli.arguments import check_once, check_printable, import_named
from agents.cli.bench_command import Bench
from agents.cli.chat import Chat
from agents.cli.commands import Check, Play, Record, Show
from agents.cli.data_commands import SAMPLED, Export, RecordSamples
from agents.cli.form import filled, read
from agents.cli.import_command import Import
from agents.cli.init_command import Init
from agents.cli.leaderboard_command import Leaderboard
from agents.cli.list_command import List
from agents.cli.next_steps import after_training, show_next
from agents.cli.ope_command import Ope
from agents.cli.openenv_commands import ExportEnv, ServeEnv
from agents.cli.push_command import Push
from agents.cli.serving_commands import Merge, Serve
from agents.cli.show import console
from lang_envs.misspelt import unknown
from lang_envs.plugins import offered
from lang_envs.printable import printable
from lang_envs.terminal import Terminal

COMMANDS: dict[str, type] = {
    "list": List,
    "init": Init,
    "show": Show,
    "check": Check,
    "play": Play,
    "record": Record,
    "import": Import,
    "export": Export,
    "serve-env": ServeEnv,
    "export-env": ExportEnv,
    "eval": Eval,
    "ope": Ope,
    "bench": Bench,
    "leaderboard": Leaderboard,
    "explain": Explain,
    "chat": Chat,
    "serve": Serve,
    "merge": Merge,
    "push": Push,
}
EXPECTED = (ValueError, TypeError, OSError, ImportError, gymnasium.error.Error)
"""errors that are printed in words, without a traceback; an ImportError says that a module or an extra is missing"""
_OF_GYMNASIUM = " was raised from the environment creator for "  # Gymnasium appends this and all arguments to an error
GROUPS = {
    "Look around": ("list", "show", "play", "check"),
    "Make data": ("record", "import", "export"),
    "Train and measure": ("train", "eval", "ope", "explain"),
    "Compare": ("bench", "leaderboard"),
    "Use an agent": ("chat", "serve", "distil", "merge", "push"),
    "Build your own": ("init", "serve-env", "export-env"),
}
ORDER = tuple(name for names in GROUPS.values() for name in names)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command.

    Returns:
        0, or 2 after an error, whose reason is one red line on standard error. If the environment variable
        ``LANG_ENVS_TRACEBACK`` is set, the error is raised instead. 130 after Ctrl-C and 143 after SIGTERM, with a
        sentence on standard error (``agents.cli.interrupts``).
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] in ("-h", "--help", "help"):
        _overview()
        return 0
    if arguments is None:  # the process is this command's own
        keep_freed_memory()
    with interrupts.heeded(given[0], to_the_end=arguments is None) as interruption:
        try:
            check_printable(given)
            with _warnings_in_a_line():
                _parse(given[0], import_named(given[1:]))()
        except KeyboardInterrupt:
            interruption.say()
            return interruption.code or 130
        except EXPECTED as error:
            if interruption.code:  # the error comes from the interruption
                interruption.say()
            elif os.environ.get("LANG_ENVS_TRACEBACK"):
                raise
            else:
                words = " ".join(str(error).split()).partition(_OF_GYMNASIUM)[0]
                Terminal(stderr=True, soft_wrap=True).print(f"[red]{escape(words)}")
            return interruption.code or 2
        return interruption.code or 0


@contextmanager
def _warnings_in_a_line() -> Iterator[None]:
    """In the block, a warning is printed in one line, without its place in the source."""

    def line(message: Warning | str, *where: Any, **more: Any) -> str:
        return printable(" ".join(str(message).split())) + "\n"

    before, warnings.formatwarning = warnings.formatwarning, line
    try:
        yield
    finally:
        warnings.formatwarning = before


def _parse(command: str, arguments: list[str]) -> Callable[[], None]:
    """The command with its arguments, ready to be called; tyro exits with 2 if they are wrong."""
    if command == "train":
        return _train(arguments)
    if command == "distil":
        from agents.cli import distil

        check_once(arguments)
        return distil.parse(arguments)
    if command.startswith("-"):
        raise ValueError(f"A command comes first, and {command} after it: lang-envs COMMAND {command} ...")
    if command not in COMMANDS:
        raise ValueError(f"{unknown('command', command, ORDER)} lang-envs --help says what each does.")
    check_once(arguments)
    # recipes of samples have options that other recipes do not have
    of_samples = command == "record" and arguments[:1] and arguments[0] in SAMPLED
    form = RecordSamples if of_samples else COMMANDS[command]
    asked: Callable[[], None] = read(form, arguments, f"lang-envs {command}", inspect.getdoc(form) or "")
    return asked


def _train(arguments: list[str]) -> Callable[[], None]:
    """The command ``train AGENT ...``, whose options depend on the agent."""
    from agents.cli import train
    from agents.distributed import processes
    from agents.runs import decoding_file, run

    if not arguments or arguments[0] in ("-h", "--help"):
        agents = ", ".join([*AGENTS, *offered("agents")])
        told = f"{filled(train.HELP)}\n\n" + filled(f"Agents: {agents}.\n\nTheir options: lang-envs train AGENT --help")
        return lambda: console().print(told, markup=False, soft_wrap=True)
    check_once(arguments)
    config, out = train.parse(arguments)

    def command() -> None:
        agent = run.train(config, out)
        if processes.is_first():
            found = decoding_file.read(out)
            if found is not None:
                train.show_choice(console(), found)
            console().print(f"The agent is at {escape(str(out / 'agent'))}.", soft_wrap=True)
            show_next(console(), *after_training(agent, out, found))

    return command


def _overview() -> None:
    """Prints the text of ``lang-envs --help``."""
    from agents.cli import distil, train

    of_their_own = {"train": train.HELP, "distil": distil.HELP}
    screen = console()
    screen.print("[bold]lang-envs[/]: language tasks as decision processes, logged data, agents that learn.")
    for kind, names in GROUPS.items():
        screen.print(f"\n[bold]{kind}")
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
        table.add_column(width=13, no_wrap=True)
        table.add_column(overflow="fold")
        for name in names:
            doc = of_their_own.get(name) or inspect.getdoc(COMMANDS[name]) or ""
            table.add_row(f"  {name}", escape(doc.splitlines()[0]))
        screen.print(table)
    screen.print("\nOptions and examples of a command: lang-envs COMMAND --help")
    screen.print("Your own tasks, agents, recipes and suites: --import MODULE, with any command")
    show_next(screen, ("lang-envs", "list"), ("lang-envs", "play", "Wordle-v0"))
