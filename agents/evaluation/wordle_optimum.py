"""The optimum of a game of Wordle on a short list, by dynamic programming over the words that agree with all feedback.

    Q(S, w)  = sum over feedback that is not all green of |S_f| / |S| (-1 + gamma^6 V(S_f))      at the guess's end
    V(S)     = max over the words w of the list of Q(S, w)

Here S_f are the words of S that agree with feedback f to w, and V after the last guess is 0. Values before the end of a
guess are discounted once for each token that is left. A branch is cut if even a right guess at the next turn would not
be better than the best word found: V(S) <= -(1 - 1 / |S|).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agents.evaluation.wordle_states import SAID, standing
from lang_envs.tasks.wordle import Wordle
from lang_envs.tasks.wordle_game import END, VOCABULARY
from lang_envs.tasks.wordle_patterns import NUM_PATTERNS, SOLVED, WORD_LENGTH

MOST_WORDS = 400  # this takes some seconds; the next longer list takes days
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class WordleOptimum:
    """The optimal values of a game whose hidden word is any word of the list.

    Args:
        task: the game; its guesses must be words of the list.
        gamma: discount per token of the agent; 1 for the best mean return.

    Raises:
        ValueError: the list is too long, or guesses outside the list are valid.
    """

    def __init__(self, task: Wordle, gamma: float = 1.0) -> None:
        if len(task.words) > MOST_WORDS:
            raise ValueError(
                f"The optimum is computed for lists of at most {MOST_WORDS} words, this one has {len(task.words)}; "
                "use words='english-400' or a shorter list."
            )
        if not task.require_dictionary:
            raise ValueError("The optimum is computed over the words of the list: use require_dictionary=True.")
        self.task, self.gamma = task, gamma
        self._patterns = task.lexicon.patterns(task.feedback).astype(np.int64)  # [W, W] guess, hidden
        self._after = gamma**SAID  # from a guess's end to the end of the next
        self._known: dict[tuple[bytes, int], float] = {}

    def value(self) -> float:
        """V of the game before its first token."""
        every = np.arange(len(self.task.words))
        return self.gamma**WORD_LENGTH * self._value(every, self.task.max_turns)

    def q_after(self, history: NDArray[np.int32]) -> Floats:
        """Q [35] of each next token after a history; NaN for those that lead to no word of the list.

        Raises:
            ValueError: the history does not begin like a game of Wordle, it is over, or no word agrees with it.
        """
        consistent, turn, said = standing(self.task, history)
        if turn >= self.task.max_turns:
            raise ValueError("The game is over: there is no next guess whose Q could be computed.")
        if not consistent.any():
            raise ValueError("No word of the list agrees with the feedback: the game has another list or rule.")
        q, place = np.full(len(VOCABULARY), np.nan), len(said)
        letters = self.task.lexicon.letters  # [5, W]
        fits = np.ones(len(self.task.words), np.bool_)
        for k, token in enumerate(said):
            fits &= letters[k] == token if k < WORD_LENGTH else False
        words = np.flatnonzero(fits)
        values = self.words(np.flatnonzero(consistent), self.task.max_turns - turn, words)
        following = letters[place, words] if place < WORD_LENGTH else np.full(len(words), VOCABULARY[END])
        for token in np.unique(following):
            q[token] = self.gamma ** (WORD_LENGTH - place) * values[following == token].max()
        return q

    def words(self, hidden: Ints, turns: int, words: Ints | None = None) -> Floats:
        """Q at the end of each guess.

        Args:
            hidden: places of the words that may be the hidden one, all equally likely.
            turns: number of guesses that are left, this one included.
            words: places [n] of the guesses; None: all words of the list.
        """
        places = np.arange(len(self.task.words)) if words is None else words
        return np.array([self._q(hidden, turns, word) for word in places.tolist()])

    def _q(self, hidden: Ints, turns: int, word: int) -> float:
        given = self._patterns[word, hidden]
        total = -float((given != SOLVED).sum())
        if turns > 1:
            for pattern in np.unique(given[given != SOLVED]):
                left = hidden[given == pattern]
                total += len(left) * self._after * self._value(left, turns - 1)
        return total / len(hidden)

    def _value(self, hidden: Ints, turns: int) -> float:
        """The best Q at the end of a word."""
        if len(hidden) == 1:
            return 0.0
        if turns == 1:
            return -(1 - 1 / len(hidden))
        key = (hidden.tobytes(), turns)
        if key not in self._known:
            bounds, best = self._bounds(hidden), -np.inf
            for word in np.argsort(-bounds, kind="stable").tolist():
                if bounds[word] <= best:
                    break
                best = max(best, self._q(hidden, turns, word))
            self._known[key] = best
        return self._known[key]

    def _bounds(self, hidden: Ints) -> Floats:
        """An upper bound of Q of each word [W]."""
        given = self._patterns[:, hidden]  # [W, n]
        cells = given + NUM_PATTERNS * np.arange(len(given))[:, None]
        sizes = np.bincount(cells.ravel(), minlength=NUM_PATTERNS * len(given)).reshape(len(given), -1)  # [W, 243]
        sizes[:, SOLVED] = 0
        lost = sizes.sum(axis=1) + self._after * np.maximum(sizes - 1, 0).sum(axis=1)  # [W]
        return -lost / len(hidden)
