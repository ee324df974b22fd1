"""``lang-envs chat``: a person at a terminal, or a file of lines, talks with a trained agent."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from rich.console import Console
from rich.markup import escape
from rich.text import Text
from tyro.conf import Positional, arg

from agents.cli.arguments import SetOptions, decoding_in_words, decoding_of, pairs
from agents.cli.next_steps import show_next
from agents.cli.show import console
from datasets_builders.hub import local
from lang_envs.conversation import Conversation, from_json
from lang_envs.misspelt import hint
from lang_envs.terminal import Terminal

if TYPE_CHECKING:
    from agents.cli.talk import Talk


@dataclass
class Chat:
    r"""Talks with a trained agent: you are the user.

    The agent decodes as in lang-envs eval. It needs a tokenizer with a chat template. If the conversation is longer
    than the model's context, the oldest turns are left out. Lines that begin with a slash are commands: /help lists
    them. If the input is not a terminal, each line is a turn, and standard output contains only the replies.

    Examples:
        lang-envs chat runs/chats
        lang-envs chat runs/chats --system "You answer in one sentence." --set temperature=0.7 max_new_tokens=80
        printf 'hello\nis it open today?\n' | lang-envs chat runs/chats
    """

    run: Annotated[Positional[Path], arg(metavar="RUN")]
    """folder of a run or of a saved agent, or hub:owner/name"""
    system: str | None = None
    """system message; by default that of the history, or none"""
    history: Path | None = None
    """JSON file with earlier messages to continue: a list of {"role": "user", "content": "..."}; by default a new
    conversation"""
    seed: int = 0
    """seed of the agent's sampling"""
    options: SetOptions = ()
    """decoding, as NAME=VALUE: greedy, temperature, top_k, top_p, repetition_penalty, max_new_tokens, stop,
    advantage_weight ...; by default as in eval"""

    def __call__(self) -> None:
        """Talks until /quit or the end of the input."""
        from agents.cli.talk import Talk
        from agents.runs.run import load

        before = () if self.history is None else read_history(self.history)
        agent = load(local(self.run, "agent"))
        talk = Talk(agent, decoding_of(agent, self.options), before, self.seed)
        if self.system is not None:
            talk.instruct(self.system)
        Conversing(talk, console(), at_terminal=sys.stdin.isatty()).run()
        if sys.stdin.isatty():
            show_next(console(), ("lang-envs", "serve", self.run))


def read_history(path: Path) -> Conversation:
    """The messages of a JSON file, which holds a list of them, or an object with such a list in ``messages``.

    Raises:
        ValueError: the file holds something else.
        OSError: there is no such file.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return from_json(found.get("messages") if isinstance(found, dict) else found)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: expected a JSON list of messages with role and content: {error}") from error


class Conversing:
    """Reads lines, each a turn of the user or a command, and writes the agent's replies.

    Args:
        talk: the conversation.
        screen: where replies are written.
        at_terminal: whether a person types. If not, everything except replies goes to standard error.
        read: prints a prompt and reads a line.
    """

    def __init__(self, talk: Talk, screen: Console, at_terminal: bool, read: Callable[[str], str] = input) -> None:
        self.talk, self.screen, self.at_terminal, self._read = talk, screen, at_terminal, read
        self._told = screen if at_terminal else Terminal(stderr=True)
        self._commands: dict[str, tuple[Callable[[str], None], str]] = {
            "help": (self._help, "this list"),
            "reset": (self._reset, "starts a new conversation with the same system message"),
            "system": (self._system, "TEXT: sets the system message; without TEXT removes it"),
            "set": (
                self._set,
                "NAME=VALUE ...: sets the decoding; NAME=none undoes one; alone shows all",
            ),
            "explain": (self._explain, "shows Q, V and the advantage of each token of the last reply"),
            "quit": (self._quit, "ends the conversation; the end of the input does the same"),
        }

    def run(self) -> None:
        """Reads lines until there are no more."""
        if self.at_terminal:
            self._told.print("You are the user. /help lists commands.", style="dim")
        try:
            if self.talk.is_due:
                self._answer(self.talk.answer)
            while True:
                self._line(self._read("you   > " if self.at_terminal else "").strip())
        except (EOFError, KeyboardInterrupt):
            if self.at_terminal:
                self._told.print()

    def _line(self, line: str) -> None:
        if line.startswith("/") and not line.startswith("//"):
            name, _, rest = line[1:].partition(" ")
            if name in self._commands:
                self._in_words(lambda: self._commands[name][0](rest.strip()))
            else:
                known = [f"/{command}" for command in self._commands]
                self._refuse(f"There is no command /{name}; {hint('/' + name, known)} Begin with // to say a slash.")
        elif line:
            self._answer(lambda: self.talk.say(line.removeprefix("/") if line.startswith("//") else line))

    def _answer(self, reply: Callable[[], str]) -> None:
        def shown() -> None:
            was_cut, said = self.talk.is_cut, reply()
            if self.talk.is_cut and not was_cut:
                self._told.print("The model's context is full: the oldest turns are left out.", style="dim")
            name = Text("agent > ", style="bold") if self.at_terminal else Text()
            self.screen.print(name + Text(said), soft_wrap=True)

        self._in_words(shown)

    def _in_words(self, do: Callable[[], None]) -> None:
        try:
            do()
        except (ValueError, TypeError) as error:
            self._refuse(str(error))

    def _refuse(self, why: str) -> None:
        self._told.print(f"[red]{escape(why)}", soft_wrap=True)

    def _help(self, rest: str) -> None:
        for name, (_, told) in self._commands.items():
            self._told.print(f"[bold]/{name:8}[/]{escape(told)}")

    def _reset(self, rest: str) -> None:
        self.talk.begin()
        self._told.print("A new conversation.", style="dim")

    def _system(self, rest: str) -> None:
        self.talk.instruct(rest)

    def _set(self, rest: str) -> None:
        if rest:
            given = pairs(re.split(r"\s+(?=[\w-]+=)", rest), "/set")
            wanted = {**self.talk.decoding, **given}
            self.talk.speak_by({name: value for name, value in wanted.items() if value is not None})
        self._told.print(Text(f"Decoding: {decoding_in_words(self.talk.decoding)}"), style="dim")

    def _explain(self, rest: str) -> None:
        from agents.cli.explanations import look, numbers

        if self.talk.said is None:
            raise ValueError("The agent has not said anything yet.")
        if not self.talk.agent.needs_values:
            raise ValueError(f"{self.talk.agent.name} has no values to show.")
        explanation = look(self.talk.agent, self.talk.said)
        self._told.print(explanation.text(actions_only=True))
        self._told.print(numbers(explanation))

    def _quit(self, rest: str) -> None:
        raise EOFError
