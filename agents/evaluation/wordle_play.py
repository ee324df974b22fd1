"""The returns of a Wordle table: plays many games at once, with arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.evaluation.wordle_tables import WordleTable
from lang_envs.tasks.wordle_patterns import SOLVED, WORD_LENGTH, choose_with

GAMES = 40_000
"""With this number the standard error of a mean return of -2 is about .005."""
_CHUNK = 8192  # games whose [n, W] arrays are in memory at once

Ints = NDArray[np.int64]


def returns(
    table: WordleTable, decoding: dict[str, Any], hidden: Sequence[int] | None = None, games: int = GAMES, seed: int = 0
) -> NDArray[np.float64]:
    """The returns of simulated games, [games].

    Args:
        table: the table that plays.
        decoding: its decoding, arguments of ``WordleTable.speech``.
        hidden: places of the hidden words in the list; their numbers of games differ by at most one. None: all words.
        games: number of games.
        seed: seed of the games.
    """
    rng, speech = np.random.default_rng(seed), _Speech(table, decoding)
    words = np.arange(len(table.task.words)) if hidden is None else np.asarray(hidden, np.int64)
    targets = np.resize(words, games)
    return np.concatenate([_played(speech, targets[i : i + _CHUNK], rng) for i in range(0, games, _CHUNK)])


class _Speech:
    """Draws guesses in many states at once."""

    def __init__(self, table: WordleTable, decoding: dict[str, Any]) -> None:
        self.table, p = table, table.speech(**decoding)  # [E]
        self.total = np.cumsum(p)  # [E]
        self.before = self.total[table.first[:-1]] - p[table.first[:-1]]  # [N] of earlier states

    def guesses(self, state: Ints, rng: np.random.Generator) -> Ints:
        """Places [n] of the words said in n states."""
        table, letters = self.table, np.zeros((WORD_LENGTH, len(state)), np.uint8)
        for place in range(WORD_LENGTH):
            drawn = np.searchsorted(self.total, self.before[state] + rng.random(len(state)), side="right")
            edge = np.clip(drawn, table.first[state], table.first[state + 1] - 1)
            letters[place], state = table.token[edge], table.child[edge]
        return table.task.lexicon.find(letters).astype(np.int64)


def _played(speech: _Speech, hidden: Ints, rng: np.random.Generator) -> NDArray[np.float64]:
    task, rewards = speech.table.task, np.zeros(len(hidden))
    patterns = task.lexicon.patterns(task.feedback)  # [W, W] guess, hidden
    alive, consistent = np.arange(len(hidden)), np.ones((len(hidden), len(task.words)), np.bool_)  # [m], [m, W]
    for turn in range(task.max_turns):
        state = speech.table.states(consistent, turn)  # [m]
        known, guess = state >= 0, np.zeros(len(alive), np.int64)
        guess[known] = speech.guesses(state[known], rng)
        guess[~known] = choose_with(consistent[~known], rng)
        given = patterns[guess, hidden[alive]]
        goes_on = given != SOLVED
        alive, guess, given = alive[goes_on], guess[goes_on], given[goes_on]
        rewards[alive] -= 1
        consistent = consistent[goes_on] & (patterns[guess] == given[:, None])
    return rewards
