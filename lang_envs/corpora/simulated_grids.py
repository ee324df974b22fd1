"""Simulates grids as people share them after a game of Wordle, for use without a table of tweets."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lang_envs import words
from lang_envs.corpora.wordle_tweets import MOST_ROWS, SharedGames
from lang_envs.tasks.wordle_patterns import SOLVED, choose_with, word_list

GAMES = 40_000
_SEED = 20_220_115  # the seed of every simulation, so that recordings are the same
_CHUNK = 2048  # number of games whose [n, W] arrays are in memory at once


def simulated_grids(games: int = GAMES) -> SharedGames:
    """The grids of a player who guesses uniformly random words among those that agree with all feedback.

    It is the official game on the packaged list ``english``; all words are equally likely to be hidden. The player's
    mean return is -3.13. The number of the day is the index of the hidden word. Every call returns the same grids.
    """
    lexicon = word_list(words.load("english")[0])
    matrix, rng = lexicon.patterns("official"), np.random.default_rng(_SEED)  # [W, W] guess, hidden
    hidden = rng.integers(len(lexicon), size=games)
    parts = [_played(matrix, hidden[start : start + _CHUNK], rng) for start in range(0, games, _CHUNK)]
    patterns = np.concatenate(parts)  # [G, 6]
    solved = patterns == SOLVED
    rows = np.where(solved.any(axis=1), solved.argmax(axis=1) + 1, MOST_ROWS)
    return SharedGames(hidden, patterns, rows.astype(np.int64), skipped=0)


def _played(matrix: NDArray[np.uint8], hidden: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.uint8]:
    """The patterns [n, 6] of the games with these hidden words [n], 0 after the last row."""
    patterns = np.zeros((len(hidden), MOST_ROWS), np.uint8)
    alive = np.arange(len(hidden))  # [m]
    consistent = np.ones((len(hidden), len(matrix)), np.bool_)  # [m, W] with all feedback so far
    for turn in range(MOST_ROWS):
        guess = choose_with(consistent, rng)
        given = matrix[guess, hidden[alive]]
        patterns[alive, turn] = given
        goes_on = given != SOLVED
        alive, guess, given = alive[goes_on], guess[goes_on], given[goes_on]
        consistent = consistent[goes_on] & (matrix[guess] == given[:, None])
    return patterns
