"""Makes games of Wordle from tweets, which show colours but no words (Snell et al., 2023, Section 5).

A game and a hidden word are drawn. Then for each row a word is drawn whose feedback has the row's colours. If a row has
no such word, the game and the hidden word are drawn again. The colours are those of people, so they improve from row to
row as people's do. The words are not people's. The independent player draws each word for its row only, so a word may
contradict the feedback to earlier words.

Without tweets the grids are simulated. Their player guesses random words of the packaged list ``english`` that agree
with all feedback (``lang_envs.corpora.simulated_grids``), whatever list the games are then played with.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from datasets_builders.block_workers import Block
from datasets_builders.recorder import first_seed
from lang_envs.corpora.simulated_grids import simulated_grids
from lang_envs.corpora.wordle_tweets import MOST_ROWS, SharedGames, read_answers, read_tweets
from lang_envs.episode import Episode
from lang_envs.tasks.wordle import Wordle
from lang_envs.tasks.wordle_game import END, OVER, REPLY_END, START, VOCABULARY
from lang_envs.tasks.wordle_patterns import NUM_PATTERNS, SOLVED, colours
from lang_envs.vector import TokenVectorEnv

Player = Literal["independent", "consistent"]

_BLOCK_GAMES, _CHUNK = 4096, 1024
_TURN = 12  # tokens: five letters, their end, five colours, their end
_MOST_DRAWS = 1_000  # draws without a game that fits


def retrofitted(
    env: TokenVectorEnv,
    seed: int,
    tweets: str | os.PathLike[str] | None = None,
    answers: str | os.PathLike[str] | None = None,
    player: Player = "independent",
) -> Block:
    """Games with the colours of shared grids, and words with these colours.

    Args:
        env: a game of Wordle; its list has the hidden words and the guesses, and its rule gives the feedback.
        seed: of the recording.
        tweets: a CSV of tweets with the columns ``wordle_id`` and ``tweet_text`` (:func:`read_tweets`);
            None: 40,000 simulated grids (:func:`simulated_grids`).
        answers: a CSV with the columns ``wordle_id`` and ``word``, the true hidden words; games of other days are left
            out. By default the hidden word is a random word of the list.
        player: "consistent" draws each guess from the words that agree with all earlier feedback, if one of them has
            the row's colours.

    Raises:
        ValueError: the task or the player is another one, answers are given without tweets, or no game fits the words.
        CorpusError: a file does not have the expected form.
    """
    task = env.task
    if not isinstance(task, Wordle):
        raise ValueError(f"this recipe needs a game of Wordle, got the task {type(task).__name__}")
    if len(env.tokenizer) != len(VOCABULARY):
        raise ValueError("this recipe writes its games in Wordle's own tokenizer; leave out tokenizer=")
    if tweets is None and answers is not None:
        raise ValueError("answers= are the true words of the days in tweets=, which is not given; leave out answers=")
    if player not in get_args(Player):
        raise ValueError(f"player must be one of {get_args(Player)}, got {player!r}")
    games, hidden = simulated_grids() if tweets is None else read_tweets(tweets), None
    if answers is not None:
        games, hidden = _with_answers(games, read_answers(answers), task.words)
    retrofit, first = Retrofit(task, games, hidden, player), first_seed(seed)
    name = f"{'simulated-' if tweets is None else ''}tweets-{player}"

    def block(k: int) -> Iterator[Episode]:
        rng = np.random.default_rng((first + k * _BLOCK_GAMES, 4))
        for _ in range(_BLOCK_GAMES // _CHUNK):
            yield from _episodes(task, games, *retrofit.draw(_CHUNK, rng), name)

    return block


class Retrofit:
    """Draws words for the colours of shared games, for all games of a call at once.

    Args:
        task: the task with the words and the rule of feedback.
        games: the G games.
        hidden: the place [G] of each game's hidden word in the list; None: it is drawn.
        player: see :func:`retrofitted`.
    """

    def __init__(self, task: Wordle, games: SharedGames, hidden: NDArray[np.int64] | None, player: Player) -> None:
        self.games, self.hidden, self.player = games, hidden, player
        self.matrix = task.lexicon.patterns(task.feedback)  # [W, W] guess, hidden
        size = len(task.words)
        self._order = np.argsort(self.matrix.T, axis=1, kind="stable").astype(np.int32)  # [W, W] guesses by pattern
        cells = self.matrix.T + NUM_PATTERNS * np.arange(size)[:, None]
        self._counts = np.bincount(cells.ravel(), minlength=size * NUM_PATTERNS).reshape(size, -1)  # [W, 243]
        self._starts = np.cumsum(self._counts, axis=1) - self._counts

    def draw(self, n: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """The games [n] drawn, their hidden words [n], and their guesses [n, 6] (-1 after the last row).

        Raises:
            ValueError: no game fits these words.
        """
        kept: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
        missing, draws = n, 0
        while missing > 0:
            game = rng.integers(len(self.games), size=n)
            hidden = rng.integers(len(self.matrix), size=n) if self.hidden is None else self.hidden[game]
            possible = self._possible(game, hidden)
            kept.append((game[possible][:missing], hidden[possible][:missing]))
            missing -= len(kept[-1][0])
            draws += 1
            if draws == _MOST_DRAWS and missing == n:
                raise ValueError("no game of the tweets fits these words; use a longer list")
        game, hidden = (np.concatenate(parts) for parts in zip(*kept, strict=True))
        return game, hidden, self._guesses(game, hidden, rng)

    def _possible(self, game: NDArray[np.int64], hidden: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether each row of each game has a word for its colours, [n]."""
        counts = self._counts[hidden[:, None], self.games.patterns[game]]  # [n, 6]
        beyond = np.arange(MOST_ROWS) >= self.games.rows[game, None]
        return np.asarray(((counts > 0) | beyond).all(axis=1))

    def _guesses(
        self, game: NDArray[np.int64], hidden: NDArray[np.int64], rng: np.random.Generator
    ) -> NDArray[np.int64]:
        guesses = np.full((len(game), MOST_ROWS), -1, np.int64)
        consistent = np.ones((len(game), len(self.matrix)), np.bool_)  # [n, W] with all feedback so far
        for turn in range(MOST_ROWS):
            alive = np.flatnonzero(self.games.rows[game] > turn)  # [m]
            pattern, target = self.games.patterns[game[alive], turn], hidden[alive]
            place = (rng.random(len(alive)) * self._counts[target, pattern]).astype(np.int64)
            guess = self._order[target, self._starts[target, pattern] + place].astype(np.int64)  # any that fits
            if self.player == "consistent":
                fits = consistent[alive] & (pattern[:, None] == self.matrix[:, target].T)  # [m, W]
                luck = np.where(fits, rng.random(fits.shape, np.float32), -1)
                guess = np.where(fits.any(axis=1), luck.argmax(axis=1), guess)
                consistent[alive] &= self.matrix[guess] == pattern[:, None]
            guesses[alive, turn] = guess
        return guesses


def _episodes(
    task: Wordle,
    games: SharedGames,
    game: NDArray[np.int64],
    hidden: NDArray[np.int64],
    guesses: NDArray[np.int64],
    name: str,
) -> Iterator[Episode]:
    """The games [n] as the environment would have recorded them."""
    n, rows, patterns = len(game), games.rows[game], games.patterns[game]  # [n], [n, 6]
    tokens = np.full((n, MOST_ROWS, _TURN), VOCABULARY[END], np.int32)
    tokens[..., :5] = task.lexicon.letters.T[guesses]
    tokens[..., 6:11] = _COLOURS[patterns]
    tokens[..., 11] = VOCABULARY[REPLY_END]
    solved = patterns[np.arange(n), rows - 1] == SOLVED
    for i, count in enumerate(rows.tolist()):
        rewards = np.tile(_REWARDS, count)
        rewards[-_TURN + 5] += solved[i]
        info = {
            "policy": name,
            "wordle_id": int(games.puzzle[game[i]]),
            "hidden": task.words[hidden[i]],
            "success": bool(solved[i]),
            "valid": True,
        }
        yield Episode(
            np.concatenate([[VOCABULARY[START]], tokens[i, :count].ravel(), [VOCABULARY[OVER]]]).astype(np.int32),
            np.concatenate([[False], np.tile(_IS_ACTION, count), [False]]),
            np.concatenate([[0], rewards, [0]]).astype(np.float32),
            terminated=True,
            info=info,
        )


def _with_answers(
    games: SharedGames, answers: dict[int, str], words: tuple[str, ...]
) -> tuple[SharedGames, NDArray[np.int64]]:
    """The games whose hidden word is known and in the list, and the place of this word."""
    places = {word: place for place, word in enumerate(words)}
    hidden = np.array([places.get(answers.get(puzzle, ""), -1) for puzzle in games.puzzle.tolist()])
    known = hidden >= 0
    if not known.any():
        raise ValueError(
            f"none of the {len(games)} games has an answer that is in the list of {len(words)} words; pass words= with "
            "a list that holds them"
        )
    kept = SharedGames(games.puzzle[known], games.patterns[known], games.rows[known], games.skipped)
    return kept, hidden[known]


_IS_ACTION = np.arange(_TURN) < 6
_REWARDS = np.where(np.arange(_TURN) == 5, -1.0, 0.0)
# [243, 5]
_COLOURS = np.array([[VOCABULARY[f"<{mark}>"] for mark in colours(p)] for p in range(NUM_PATTERNS)], np.int32)
