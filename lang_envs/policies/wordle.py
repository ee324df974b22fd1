"""Scripted policies for Wordle, from Snell et al. (2023), which read a game from its tokens alone.

All of them guess words of the task's list and need Wordle's own tokenizer.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lang_envs.policies.any_task import Generators, Histories, Mixture
from lang_envs.policies.wordle_histories import Guesses, read
from lang_envs.rollout import Turn
from lang_envs.tasks.wordle import Wordle
from lang_envs.tasks.wordle_game import END, VOCABULARY
from lang_envs.tasks.wordle_patterns import NUM_PATTERNS, WORD_LENGTH, WordList, below, choose

START_WORDS = (
    "opera", "tears", "soare", "roate", "raise", "arose", "earls", "laser", "reals", "aloes", "reais", "slate", "sauce",
    "slice", "shale", "saute", "share", "sooty", "shine", "suite", "crane", "adieu", "audio", "stare", "roast", "ratio",
    "arise", "tales",
)  # fmt: skip
_CACHED_STATES = 200_000


class RandomValid:
    """A uniformly random word of the list, whatever was said before."""

    def __init__(self, task: Wordle) -> None:
        self.turns = _turns(task.lexicon)

    def act(self, histories: Histories, rngs: Generators) -> list[Turn]:
        """One word for each history."""
        return [self.turns[place] for place in below(len(self.turns), rngs).tolist()]


class RandomConsistent:
    """A uniformly random word among those that agree with all feedback."""

    def __init__(self, task: Wordle) -> None:
        self.task, self.turns = task, _turns(task.lexicon)

    def act(self, histories: Histories, rngs: Generators) -> list[Turn]:
        """One word for each history."""
        mask = _consistent(self.task, read(histories))
        return [self.turns[place] for place in choose(mask, rngs).tolist()]


class StartWord:
    """A random one of 28 curated opening words that agree with all feedback; if none agrees, any word that agrees."""

    def __init__(self, task: Wordle) -> None:
        self.task, self.turns = task, _turns(task.lexicon)
        self._curated = np.isin(task.words, START_WORDS)  # [W]
        self.openings = np.flatnonzero(self._curated) if self._curated.any() else np.arange(len(task.words))

    def act(self, histories: Histories, rngs: Generators) -> list[Turn]:
        """One word for each history."""
        mask = _consistent(self.task, read(histories))
        curated = mask & self._curated
        mask = np.where(curated.any(axis=1, keepdims=True), curated, mask)
        return [self.turns[place] for place in choose(mask, rngs).tolist()]


class Optimal:
    """Greedy information gain among the consistent words; the strongest policy here, but not quite optimal.

    Of the words S that agree with all feedback, it guesses one that minimises sum_k |S_k| log |S_k|. S_k are the words
    of S that would be left after feedback k. Ties are drawn at random.

    Args:
        task: the game.
        first_word: ``"start"`` opens with :class:`StartWord`, ``"greedy"`` by the same rule as later guesses.
    """

    def __init__(self, task: Wordle, first_word: Literal["start", "greedy"] = "start") -> None:
        if first_word not in ("start", "greedy"):
            raise ValueError(f"first_word must be 'start' or 'greedy', got {first_word!r}.")
        self.task, self.turns, self.first_word = task, _turns(task.lexicon), first_word
        self._start = StartWord(task)
        self._best: dict[bytes, NDArray[np.int64]] = {}  # history -> the indices of the words that tie
        sizes = np.arange(1, len(task.words) + 1)
        self._cost = np.concatenate([[0.0], sizes * np.log(sizes)])  # |S| log |S| by |S|

    def act(self, histories: Histories, rngs: Generators) -> list[Turn]:
        """One word for each history."""
        if len(self._best) > _CACHED_STATES:
            self._best.clear()
        keys = [history.tobytes() for history in histories]
        missing = {key: i for i, key in enumerate(keys) if key not in self._best}
        if missing:
            games = read([histories[i] for i in missing.values()])
            fresh = np.logical_not(games.answered.any(axis=0))  # [m]
            for key, mask, is_fresh in zip(missing, _consistent(self.task, games), fresh.tolist(), strict=True):
                first = is_fresh and self.first_word == "start"
                self._best[key] = self._start.openings if first else self._most_informative(np.flatnonzero(mask))
        ties = [self._best[key] for key in keys]
        chosen = below(np.array([len(places) for places in ties]), rngs).tolist()
        return [self.turns[places[i]] for places, i in zip(ties, chosen, strict=True)]

    def _most_informative(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        if len(places) <= 2:
            return places
        patterns = self.task.lexicon.patterns(self.task.feedback)
        cost = np.empty(len(places))
        step = max(1, 4_000_000 // len(places))  # number of guesses at once; a block takes some tens of megabytes
        for start in range(0, len(places), step):
            block = patterns[np.ix_(places[start : start + step], places)]  # [g, |S|]
            cells = block + NUM_PATTERNS * np.arange(len(block))[:, None]
            counts = np.bincount(cells.ravel(), minlength=NUM_PATTERNS * len(block)).reshape(len(block), -1)
            cost[start : start + step] = self._cost[counts].sum(axis=1)
        return places[cost <= cost.min() + 1e-9]  # the order of addition changes sums of the same terms


class Repeat:
    """A random one of the first ``first_n`` words of the episode's history (None: of all); opens as :class:`StartWord`.

    With ``first_n=2`` it plays the traps of the data set in which the opening of the best games usually loses: such a
    game is always lost.
    """

    def __init__(self, task: Wordle, first_n: int | None = None) -> None:
        if first_n is not None and first_n < 1:
            raise ValueError(f"first_n must be at least 1, or None for the whole history, got {first_n}.")
        self.first_n, self._start = first_n, StartWord(task)

    def act(self, histories: Histories, rngs: Generators) -> list[Turn]:
        """One word for each history."""
        games = read(histories)
        turns: list[Turn] = []
        for row, answered in enumerate(games.answered.T):
            said = np.flatnonzero(answered)[: self.first_n]
            if len(said):
                letters = games.letters[:, said[below(len(said), [rngs[row]])[0]], row]
                turns.append(Turn(np.append(letters, VOCABULARY[END]).astype(np.int32)))
            else:
                turns += self._start.act([histories[row]], [rngs[row]])
        return turns


class RandomMixture(Mixture):
    """With probability ``p`` a random consistent word, otherwise any word: a player of medium skill."""

    def __init__(self, task: Wordle, p: float) -> None:
        super().__init__(p, RandomConsistent(task), RandomValid(task))


class RandomLegal:
    """Draws each token uniformly among the tokens that keep the guess valid."""

    def __init__(self, task: Wordle) -> None:
        self.task = task

    def act(self, histories: Histories, rngs: Generators) -> list[Turn]:
        """One utterance for each history."""
        return [Turn(np.array(self._utterance(rng), np.int32)) for rng in rngs]

    def _utterance(self, rng: np.random.Generator) -> list[int]:
        said: list[int] = []
        while not said or said[-1] != VOCABULARY[END]:
            legal = self.task.legal_tokens(None, said, self.task.tokenizer())
            assert legal is not None  # the tokenizer is the task's own
            choices = np.flatnonzero(legal)
            said.append(int(choices[below(len(choices), [rng])[0]]))
        return said


def _consistent(task: Wordle, games: Guesses) -> NDArray[np.bool_]:
    mask = games.consistent(task.lexicon, task.feedback)  # [n, W]
    if not mask.any(axis=1).all():
        raise ValueError(
            "No word of the policy's list agrees with the feedback of a game: it was played with another word list or "
            "another feedback rule than the policy's task has."
        )
    return mask


@lru_cache(maxsize=8)
def _turns(lexicon: WordList) -> list[Turn]:
    """Each word of a list as an utterance."""
    tokens = np.full((len(lexicon), WORD_LENGTH + 1), VOCABULARY[END], np.int32)  # [W, 6]
    tokens[:, :WORD_LENGTH] = lexicon.letters.T
    tokens.flags.writeable = False
    return [Turn(row) for row in tokens]
