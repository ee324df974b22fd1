"""Wordle games that people shared: the rows of coloured squares in their tweets."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lang_envs.corpora.files import CorpusError, faults, open_text, unreadable
from lang_envs.tasks.wordle_patterns import SOLVED, WORD_LENGTH, pattern_of

MOST_ROWS = 6
SQUARES = {"🟩": "g", "🟧": "g", "🟨": "y", "🟦": "y", "⬛": "b", "⬜": "b"}
"""Orange and blue are the game's colours for the colour-blind; black or white is up to the theme."""
_LOOK = "\N{VARIATION SELECTOR-16}"  # some keyboards add it to a square; it shows nothing
_ID, _TEXT = "wordle_id", "tweet_text"


@dataclass(frozen=True)
class SharedGames:
    """Finished games, as feedback alone: nobody tweets the words."""

    puzzle: NDArray[np.int64]  # [G] the day's number
    patterns: NDArray[np.uint8]  # [G, 6] numbers of lang_envs.tasks.wordle_patterns, 0 after the last row
    rows: NDArray[np.int64]  # [G] 1 to 6
    skipped: int
    """tweets without a finished game: no grid, a cut one, or one that goes on after all green"""

    def __len__(self) -> int:
        return len(self.puzzle)


def read_tweets(path: str | os.PathLike[str]) -> SharedGames:
    """Reads a CSV of tweets in the layout of Kaggle's "wordle-tweets"; columns beside the two used here are ignored.

    Args:
        path: of a CSV, plain or compressed, with a header that names ``wordle_id`` and ``tweet_text``.

    Raises:
        CorpusError: naming file, row and field, where it is none, or holds no finished game.
    """
    puzzles, grids, skipped = [], [], 0
    for number, row in _rows(path):
        text, puzzle = row.get(_TEXT), row.get(_ID)
        if text is None or puzzle is None or not puzzle.strip().isdecimal():
            field, got, expected = (_TEXT, text, "a text") if text is None else (_ID, puzzle, "a number")
            raise CorpusError(f"{path}, row {number}, field {field!r}: expected {expected}, got {got!r}")
        grid = grid_of(text)
        if _finished(grid):
            puzzles.append(int(puzzle))
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
    """The patterns of the first consecutive lines of five known squares, at most six; none where there is no such line.

    Whatever else a tweet says, in any language, stands on lines of its own.
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
        CorpusError: naming file, row and field, where it is none.
    """
    answers: dict[int, str] = {}
    for number, row in _rows(path, _ID, "word"):
        puzzle, word = (row[_ID] or "").strip(), (row["word"] or "").strip().lower()
        if not puzzle.isdecimal():
            raise CorpusError(f"{path}, row {number}, field {_ID!r}: expected a number, got {puzzle!r}")
        if len(word) != WORD_LENGTH or not (word.isascii() and word.isalpha()):
            raise CorpusError(f"{path}, row {number}, field 'word': expected five letters a-z, got {word!r}")
        if answers.setdefault(int(puzzle), word) != word:
            raise CorpusError(f"{path}, row {number}, field {_ID!r}: {puzzle} is there twice, with different words")
    return answers


def _finished(grid: list[int]) -> bool:
    return bool(grid) and SOLVED not in grid[:-1] and (grid[-1] == SOLVED or len(grid) == MOST_ROWS)


def _rows(path: str | os.PathLike[str], *columns: str) -> Iterator[tuple[int, dict[str, str | None]]]:
    number = 0
    with open_text(path) as file:
        try:
            table = csv.DictReader(file, strict=True)
            missing = [column for column in columns or (_ID, _TEXT) if column not in (table.fieldnames or ())]
            if missing:
                raise CorpusError(f"{path}, header: expected the columns {missing}, got {table.fieldnames}")
            for number, row in enumerate(table, start=1):
                yield number, row
        except csv.Error as error:
            raise CorpusError(f"{path}, row {number + 1}: expected CSV ({error}); was the file cut short?") from error
        except faults() as error:
            raise unreadable(path, error, number + 1) from error
