"""Reads the tokens of Wordle games: guesses, feedback, and the words that agree with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lang_envs.tasks.wordle import Wordle
from lang_envs.tasks.wordle_game import END, OVER, REPLY_END, START, VOCABULARY
from lang_envs.tasks.wordle_patterns import WORD_LENGTH, Feedback, WordList

_TURN = 2 * WORD_LENGTH + 2  # five letters, </a>, five colours, </s>
_DIGITS = 3 ** np.arange(WORD_LENGTH)  # [5]
_FIRST_COLOUR = VOCABULARY["<g>"]
_VALUE = np.array([2, 0, 1])  # of <g>, <b>, <y>
_BLOCK = 128  # number of rows whose [n, W] arrays fit in the processor's cache


@dataclass(frozen=True)
class Guesses:
    """The games of n histories in columns; K is the largest number of turns of any of them.

    Attributes:
        letters: uint8 [5, K, n], the guesses.
        patterns: uint8 [K, n], the feedback.
        answered: bool [K, n], False after the last turn of a game and where a guess was invalid.
        turns: int64 [n], number of utterances, invalid ones included.
    """

    letters: NDArray[np.uint8]
    patterns: NDArray[np.uint8]
    answered: NDArray[np.bool_]
    turns: NDArray[np.int64]

    def consistent(self, lexicon: WordList, rule: Feedback) -> NDArray[np.bool_]:
        """Whether each word of a list agrees with all feedback of each game, [n, W]."""
        mask = np.ones((len(self.turns), len(lexicon)), np.bool_)
        for start in range(0, len(mask), _BLOCK):
            for k in range(len(self.answered)):
                rows = start + np.flatnonzero(self.answered[k, start : start + _BLOCK])
                if len(rows):
                    mask[rows] &= lexicon.agreeing(self.letters[:, k, rows], self.patterns[k, rows], rule)
        return mask


def read(histories: Sequence[NDArray[np.int32]]) -> Guesses:
    """Reads histories in Wordle's own tokens.

    Raises:
        ValueError: a history does not begin like a game of Wordle.
    """
    lengths = np.fromiter(map(len, histories), np.int64, len(histories))
    most = Wordle.max_turns
    games = Guesses(
        np.zeros((WORD_LENGTH, most, len(lengths)), np.uint8),
        np.zeros((most, len(lengths)), np.uint8),
        np.zeros((most, len(lengths)), np.bool_),
        np.zeros(len(lengths), np.int64),
    )
    for length in np.unique(lengths):
        rows = np.flatnonzero(lengths == length)
        tokens = np.stack([histories[row] for row in rows.tolist()])  # [m, length]
        if not length or (tokens[:, 0] != VOCABULARY[START]).any():
            raise ValueError(f"A history of Wordle begins with token {VOCABULARY[START]}; is this another tokenizer's?")
        regular = _read_regular(tokens, rows, games)
        for row, history in zip(rows[~regular].tolist(), tokens[~regular].tolist(), strict=True):
            _read_any(history, row, games)
    longest = int(games.turns.max(initial=0))
    return Guesses(games.letters[:, :longest], games.patterns[:longest], games.answered[:longest], games.turns)


def _read_regular(tokens: NDArray[np.int32], rows: NDArray[np.int64], games: Guesses) -> NDArray[np.bool_]:
    """Reads those of m histories of one length that have no invalid guess; returns whether each was read, [m]."""
    count, rest = divmod(tokens.shape[1] - 1, _TURN)
    if rest or count > Wordle.max_turns:
        return np.zeros(len(rows), np.bool_)
    turns = tokens[:, 1:].reshape(len(rows), count, _TURN).transpose(2, 1, 0)  # [12, count, m]
    letters, marks = turns[:WORD_LENGTH], turns[WORD_LENGTH + 1 : -1] - _FIRST_COLOUR  # [5, count, m] each
    regular = (turns[WORD_LENGTH] == VOCABULARY[END]) & (turns[-1] == VOCABULARY[REPLY_END])
    regular &= (letters < _FIRST_COLOUR).all(axis=0) & ((marks >= 0) & (marks < 3)).all(axis=0)
    keep = regular.all(axis=0)  # [m]
    rows = rows[keep]
    games.letters[:, :count, rows] = letters[..., keep]
    games.patterns[:count, rows] = np.tensordot(_DIGITS, _VALUE[marks[..., keep]], 1)
    games.answered[:count, rows] = True
    games.turns[rows] = count
    return keep


def _read_any(history: list[int], row: int, games: Guesses) -> None:
    """Reads one game token by token: an utterance ends at ``</a>`` or after six tokens, and may have no answer."""
    turn, at = 0, 1
    while at < len(history) and history[at] != VOCABULARY[OVER]:
        said = history[at : at + WORD_LENGTH + 1]
        said = said[: said.index(VOCABULARY[END]) + 1] if VOCABULARY[END] in said else said
        at += len(said)
        marks = history[at : at + WORD_LENGTH]
        if len(marks) == WORD_LENGTH and all(0 <= mark - _FIRST_COLOUR < 3 for mark in marks) and _is_word(said):
            games.letters[:, turn, row] = said[:WORD_LENGTH]
            games.patterns[turn, row] = _DIGITS @ _VALUE[np.array(marks) - _FIRST_COLOUR]
            games.answered[turn, row] = True
            at += WORD_LENGTH + 1
        turn += 1
    games.turns[row] = turn


def _is_word(said: list[int]) -> bool:
    return len(said) == WORD_LENGTH + 1 and max(said[:WORD_LENGTH]) < _FIRST_COLOUR and said[-1] == VOCABULARY[END]
