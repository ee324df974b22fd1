"""Lets a person play a task in the terminal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from rich.console import Console
from rich.text import Text

from lang_envs.markup import markup_of
from lang_envs.tasks.wordle import Wordle
from lang_envs.tasks.wordle_game import START, WordleState
from lang_envs.terminal import Terminal

UNPAID = "Nothing says what was earned: the environment rewards nothing by itself (reward=)."
"""printed in place of the return if the task does not pay"""
_STYLES = {"g": "bold white on green", "y": "bold black on yellow", "b": "bold white on grey37"}
_UNUSED = "black on grey85"
_KEYBOARD = ("qwertyuiop", "asdfghjkl", "zxcvbnm")


def play(
    env_id: str,
    seed: int | None = None,
    *,
    read: Callable[[str], str] = input,
    console: Console | None = None,
    **options: Any,
) -> float | None:
    """Plays one episode of any task, one utterance per line.

    Args:
        env_id: the id of the environment, as ``gymnasium.make`` takes it.
        seed: the seed of the episode; None for a fresh one.
        read: reads a line of text after printing the given prompt.
        console: where to write; the terminal by default.
        **options: options of the environment.

    Returns:
        The return, or None if the player left (end of input or Ctrl-C).
    """
    console = console or Terminal()
    env = gym.make(env_id, level="utterance", **options)
    task, tokenizer = env.unwrapped.task, env.unwrapped.tokenizer  # type: ignore[attr-defined]  # all of this package have
    board = WordleBoard(task) if isinstance(task, Wordle) and markup_of(tokenizer) is None else Transcript()
    try:
        observation, _ = env.reset(seed=seed)
        board.open(observation, console)
        total, turn, over = 0.0, 1, False
        while not over:
            said = read(f"{turn}> ").strip()
            try:
                observation, reward, terminated, truncated, info = env.step(said)
            except ValueError as error:  # the environment refused the text, and the episode has not changed
                console.print(Text(f"{error}; try again", style="red"))
                continue
            total, turn, over = total + float(reward), turn + 1, terminated or truncated
            board.show(said, observation, info, console)
    except (EOFError, KeyboardInterrupt):
        console.print("\nLeft the game.")
        return None
    finally:
        env.close()
    board.close(console)
    end = f"after {turn - 1} utterance{'s' * (turn > 2)}."
    console.print(f"Return {total:g} {end}" if task.pays else f"Over {end} {UNPAID}", style="bold")
    return total


class Transcript:
    """Shows the texts as they are."""

    def open(self, observation: str, console: Console) -> None:
        """Shows the opening observation."""
        console.print(Text(observation))

    def show(self, said: str, observation: str, info: dict[str, Any], console: Console) -> None:
        """Shows one reply; the utterance itself is on the screen already."""
        console.print(Text(observation, style="cyan"))

    def close(self, console: Console) -> None:
        """Shows the end of the episode."""


class WordleBoard:
    """Shows guesses as coloured tiles, and a keyboard with the best known colour of each letter."""

    def __init__(self, task: Wordle) -> None:
        self.task = task
        self.solved = False
        self._known: dict[str, str] = {}  # letter -> its best colour so far
        self._game = WordleState()

    def open(self, observation: str, console: Console) -> None:
        """Shows the rules in one line."""
        dictionary = "from the list" if self.task.require_dictionary else "any letters"
        assert observation == START
        console.print(
            f"A hidden word of {len(self.task.words):,}. {self.task.max_turns} guesses of five letters, {dictionary}."
        )

    def show(self, said: str, observation: str, info: dict[str, Any], console: Console) -> None:
        """Shows the tiles of one guess, then the keyboard."""
        self.solved = info.get("success", False)
        if not info.get("valid", False):
            console.print(Text(f"{said!r} is no valid guess; it took a turn.", style="red"))
            return
        marks = self.task.in_words(observation)
        tiles = Text()
        for letter, mark in zip(said, marks, strict=True):
            tiles.append(f" {letter.upper()} ", _STYLES[mark])
            tiles.append(" ")
            self._known[letter] = max(mark, self._known.get(letter, "b"), key="byg".index)
        self._game = WordleState(0, (*self._game.guesses, said), (*self._game.feedback, marks))
        console.print(tiles)
        for row in _KEYBOARD:
            keys = Text("  ")
            for letter in row:
                keys.append(letter, _STYLES.get(self._known.get(letter, ""), _UNUSED))
            console.print(keys)

    def close(self, console: Console) -> None:
        """Shows whether the word was found; if not, which words it may have been."""
        if self.solved:
            console.print("Found it.", style="bold green")
            return
        possible = [self.task.words[place] for place in np.flatnonzero(self.task.consistent(self._game))]
        shown = ", ".join(possible[:5]) + (", ..." if len(possible) > 5 else "")
        console.print(Text(f"Not found. Of the list, {len(possible)} fit all feedback: {shown}", style="bold red"))
