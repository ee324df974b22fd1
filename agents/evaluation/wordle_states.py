"""The states of Wordle for exact learners: the words that agree with all feedback, the turn, and the letters said.

A state has a 64-bit fingerprint, so that the states of all games are compared as arrays. Among a million states, the
probability that two share a fingerprint is 3e-8.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lang_envs import Episodes
from lang_envs.policies.wordle_histories import read
from lang_envs.tasks.wordle import Wordle
from lang_envs.tasks.wordle_game import END, OVER, REPLY_END, VOCABULARY
from lang_envs.tasks.wordle_patterns import WORD_LENGTH

SAID = WORD_LENGTH + 1
"""tokens of a guess, its end included"""
TURN = 2 * SAID
"""tokens of a guess and of the reply"""
Keys = NDArray[np.uint64]


def keys_of(consistent: NDArray[np.bool_], turn: int) -> Keys:
    """Fingerprints [n] of the states before a guess: consistent words [n, W], guesses made."""
    packed = np.packbits(consistent, axis=1)  # [n, W / 8]
    padded = np.zeros((len(packed), packed.shape[1] + -packed.shape[1] % 8), np.uint8)
    padded[:, : packed.shape[1]] = packed
    keys = _mixed(np.full(len(packed), turn + 1, np.uint64))  # [n]; unmixed, states of two turns could collide
    for column in padded.view(np.uint64).T:
        keys = _mixed(keys ^ column)
    return keys


def keys_after(keys: Keys, tokens: NDArray[np.int32]) -> Keys:
    """Fingerprints [n] after one more token [n] of a guess."""
    return _mixed(keys + np.uint64(1) + tokens.astype(np.uint64))


def _mixed(x: Keys) -> Keys:
    """A permutation of the 64-bit numbers that spreads every bit (SplitMix64, Steele et al. 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@dataclass(frozen=True, eq=False)
class LoggedStates:
    """The states of the games of a log; B games, at most T tokens.

    Attributes:
        number: [T, B], the number of the state of each game before each guess and after each token of it. In a row of
            the array, games with equal numbers are in the same state. 0 at other tokens.
        roots: for each turn the fingerprints of its states, in the order of their numbers.
    """

    number: NDArray[np.int64]
    roots: tuple[Keys, ...]

    @classmethod
    def of(cls, task: Wordle, games: Episodes) -> LoggedStates:
        """Reads a log.

        Raises:
            ValueError: a guess is not in the task's list, or the log is not one of Wordle.
        """
        lengths = np.diff(games.offsets)  # [B]
        over = games.tokens[games.offsets[1:] - 1] == VOCABULARY[OVER]  # [B]
        parts = [games.tokens[a:b] for a, b in zip(games.offsets[:-1], games.offsets[1:] - over, strict=True)]
        played = read(parts)
        if (played.answered.sum(axis=0) != played.turns).any() or (lengths - over != 1 + TURN * played.turns).any():
            raise ValueError("An exact learner of Wordle needs logs with valid guesses only; at least one is invalid.")
        number = np.zeros((lengths.max(), len(lengths)), np.int64)
        consistent = np.ones((len(lengths), len(task.words)), np.bool_)  # [B, W]
        roots: list[Keys] = []
        for turn in range(len(played.answered)):
            rows = np.flatnonzero(played.turns > turn)  # [m]
            guesses = played.letters[:, turn, rows]  # [5, m]
            if (task.lexicon.find(guesses) < 0).any():
                raise ValueError("An exact learner of Wordle needs logs whose guesses are all in the word list.")
            keys, at = keys_of(consistent[rows], turn), TURN * turn
            known, number[at, rows] = np.unique(keys, return_inverse=True)
            roots.append(known)
            for place, tokens in enumerate([*guesses.astype(np.int32), np.full(len(rows), VOCABULARY[END])], 1):
                keys = keys_after(keys, tokens)
                number[at + place, rows] = np.unique(keys, return_inverse=True)[1]
            consistent[rows] &= task.lexicon.agreeing(guesses, played.patterns[turn, rows], task.feedback)
        return cls(number, tuple(roots))


def standing(task: Wordle, history: NDArray[np.int32]) -> tuple[NDArray[np.bool_], int, list[int]]:
    """The state of a history: the words [W] that agree with it, the number of guesses, and the tokens of the next one.

    Raises:
        ValueError: it does not begin like a game of Wordle.
    """
    replies = np.flatnonzero(history == VOCABULARY[REPLY_END])
    begins = int(replies[-1]) + 1 if len(replies) else 1
    games = read([np.asarray(history[:begins], np.int32)])
    return games.consistent(task.lexicon, task.feedback)[0], int(games.turns[0]), history[begins:].tolist()
