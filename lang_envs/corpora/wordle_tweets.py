"""Reads Wordle games that people shared: the rows of coloured squares in their tweets."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lang_envs.corpora.csv_files import Row, rows
from lang_envs.corpora.files import CorpusError
from lang_envs.corpora.records import shown
from lang_envs.tasks.wordle_patterns import SOLVED, WORD_LENGTH, pattern_of

MOST_ROWS = 6
SQUARES = {"🟩": "g", "🟧": "g", "🟨": "y", "🟦": "y", "⬛": "b", "⬜": "b"}
"""The squares of each colour. Orange and blue are for the colour-blind; black or white depends on the theme."""
_LOOK = "\N{VARIATION SELECTOR-16}"  # some keyboards add this invisible character to a square
_ID, _TEXT = "wordle_id", "tweet_text"
_MOST_DIGITS = 9  # most digits of a day's number


@dataclass(frozen=True)
class SharedGames:
    """G finished games as feedback only, because people do not tweet the words."""

    puzzle: NDArray[np.int64]  # [G] the number of the day
    patterns: NDArray[np.uint8]  # [G, 6] numbers of lang_envs.tasks.wordle_patterns, 0 after the last row
    rows: NDArray[np.int64]  # [G] 1 to 6
    skipped: int
    """number of tweets without a finished game: no grid, a cut grid, or one with rows after an all-green row"""

    def __len__(self) -> int:
        return len(self.puzzle)


def read_tweets(path: str | os.PathLike[str]) -> SharedGames:
    """Reads a CSV of tweets in the layout of Kaggle's "wordle-tweets"; other columns are ignored.

    Args:
        path: a CSV, plain or compressed, with a header that names ``wordle_id`` and ``tweet_text``.

    Raises:
        CorpusError: the file is not such a CSV, or holds no finished game; the message names file, row and field.
    """
    puzzles, grids, skipped = [], [], 0
    for number, row in rows(path, (_ID, _TEXT)):
        text, where = row[_TEXT], f"{path}, row {number}"
        if text is None:
            raise CorpusError(f"{where}, field {_TEXT!r}: expected a text, got nothing")
        puzzle, grid = _puzzle(row, where), grid_of(text)
        if _finished(grid):
            puzzles.append(puzzle)
            grids.append(grid)
        else:
            skipped += 1
    if not grids:
        raise CorpusError(f"{path}: no finished game in {skipped} tweets; does field {_TEXT!r} hold the squares?")
    patterns = np.zeros((len(grids), MOST_ROWS), np.uint8)
    for i, grid in enumerate(grids):
        patterns[i, : len(grid)] = grid
    return SharedGames(np.array(puzzles), patterns, np.array([len(grid) for grid in grids]), skipped)


def grid_of(text: str) -> list[int]:
    """The patterns of the first consecutive lines of five known squares, at most six; empty if there is no such line.

    Other text of a tweet, in any language, is on other lines.
    """
    grid: list[int] = []
    for line in text.splitlines():
        squares = line.replace(_LOOK, "").strip()
        if len(squares) == WORD_LENGTH and all(square in SQUARES for square in squares):
            grid.append(pattern_of("".join(SQUARES[square] for square in squares)))
            if len(grid) == MOST_ROWS:
                break
        elif grid:
            break
    return grid


def read_answers(path: str | os.PathLike[str]) -> dict[int, str]:
    """The hidden word of each day, from a CSV with a header that names ``wordle_id`` and ``word``.

    Raises:
        CorpusError: the file is not such a CSV; the message names file, row and field.
    """
    answers: dict[int, str] = {}
    for number, row in rows(path, (_ID, "word")):
        where, word = f"{path}, row {number}", (row["word"] or "").strip().lower()
        puzzle = _puzzle(row, where)
        if len(word) != WORD_LENGTH or not (word.isascii() and word.isalpha()):
            raise CorpusError(f"{where}, field 'word': expected five letters a-z, got {shown(word)}")
        if answers.setdefault(puzzle, word) != word:
            raise CorpusError(f"{where}, field {_ID!r}: {puzzle} is there twice, with different words")
    return answers


def _finished(grid: list[int]) -> bool:
    return bool(grid) and SOLVED not in grid[:-1] and (grid[-1] == SOLVED or len(grid) == MOST_ROWS)


def _puzzle(row: Row, where: str) -> int:
    """The number of the day."""
    text = (row[_ID] or "").strip()
    if not (text.isdecimal() and len(text) <= _MOST_DIGITS):
        raise CorpusError(f"{where}, field {_ID!r}: expected a number, got {shown(row[_ID])}")
    return int(text)
