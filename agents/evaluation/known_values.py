"""Reference values of tasks with known values: those of the optimum, and those of the policy that made the log."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from agents.evaluation.advantage import Alternatives, Floats, Tokens
from agents.evaluation.wordle_optimum import MOST_WORDS, WordleOptimum
from agents.evaluation.wordle_tables import WordleTable
from datasets_builders.dataset import EpisodeDataset
from lang_envs.task import Task
from lang_envs.tasks.movie_review import MovieReview
from lang_envs.tasks.wordle import Wordle
from lang_envs.tasks.wordle_game import END, VOCABULARY

QOf = Callable[[Tokens], Floats]
"""``q(history)`` -> [V], Q of each next token; NaN if it is not known"""

_MOST_GAMES = 100_000  # a table of so many games takes seconds

Known = dict[str, list[Alternatives]]
"""name of the reference values -> the states in which they are known"""


def known_values(task: Task[Any], log: EpisodeDataset | None, gamma: float) -> Known:
    """The reference values of a task, or none if the task does not know its values.

    Wordle knows them if there is a log and guesses must be words of a list of at most 400 words.

    Args:
        task: the task.
        log: the recorded episodes, if any; of a long log the first 100,000 episodes are read.
        gamma: discount per token of the agent.

    Raises:
        ValueError: a logged guess is no word of the list.
    """
    if isinstance(task, MovieReview):
        return of_movie_review(task, gamma)
    if isinstance(task, Wordle) and log is not None and task.require_dictionary and len(task.words) <= MOST_WORDS:
        return of_wordle(task, log.select(np.arange(min(len(log), _MOST_GAMES))), gamma)
    return {}


def of_movie_review(task: MovieReview, gamma: float) -> Known:
    """All reviews in the task's only state, with the ``optimal`` values and those of the ``behaviour``."""
    opening = np.array(task.opening, np.int32)  # [P]
    reviews = [np.array(review, np.int32) for review in task.reviews]
    of: dict[str, QOf] = {
        "optimal": lambda history: task.optimal_q(history, gamma),
        "behaviour": lambda history: task.behaviour_q(history, gamma),
    }
    return {name: [alternatives(opening, reviews, q)] for name, q in of.items()}


def alternatives(history: Tokens, utterances: Sequence[Tokens], q: QOf) -> Alternatives:
    """The values of every token of some utterances after a history."""
    return Alternatives(history, utterances, [along(history, utterance, q) for utterance in utterances])


def along(history: Tokens, utterance: Tokens, q: QOf) -> Floats:
    """Q of every token of an utterance."""
    return np.array([q(np.append(history, utterance[:k]))[token] for k, token in enumerate(utterance)])


def of_wordle(task: Wordle, log: EpisodeDataset, gamma: float, states: int = 64, seed: int = 0) -> Known:
    """Guesses of the log in some of its states after the first guess, with ``behaviour`` and ``optimal`` values.

    The behaviour's values are those of a table of the log (``wordle_tables``). Tables of its two halves show how
    accurate they are.

    Args:
        task: the game that was played.
        log: recorded games.
        gamma: discount per token of the agent.
        states: largest number of states.
        seed: seed of the choice of states and of the halves.

    Raises:
        ValueError: a logged guess is no word of the list, or the list is too long for its optimum.
    """
    rng = np.random.default_rng(seed)
    half = rng.random(len(log)) < 0.5  # [N]
    parts = (np.arange(len(log)), np.flatnonzero(half), np.flatnonzero(~half))
    whole, *halves = (WordleTable.of(task, log.rows(part), gamma=gamma) for part in parts)
    behaviour = []
    for history in _later_states(log, rng, states):
        words = list(_said_after(whole.q_after, history, np.empty(0, np.int32)))
        values, first, second = ([along(history, word, t.q_after) for word in words] for t in (whole, *halves))
        behaviour.append(Alternatives(history, words, values, (first, second)))
    best = WordleOptimum(task, gamma)
    optimal = [alternatives(s.history, s.utterances, best.q_after) for s in behaviour]
    return {"behaviour": behaviour, "optimal": optimal}


def _later_states(log: EpisodeDataset, rng: np.random.Generator, count: int) -> list[Tokens]:
    """Different histories before a guess that is not the first, each from another game."""
    found: dict[bytes, Tokens] = {}
    for episode in log.rows(rng.permutation(len(log))[: 8 * count]):
        begins = np.flatnonzero(np.diff(episode.is_action.astype(np.int8)) == 1) + 1  # first letters of guesses
        if len(begins) > 1:
            history = episode.tokens[: begins[rng.integers(1, len(begins))]]
            found.setdefault(history.tobytes(), history)
        if len(found) == count:
            break
    return list(found.values())


def _said_after(q: QOf, history: Tokens, said: Tokens) -> Iterator[Tokens]:
    """All guesses that begin with ``said`` and whose values are known."""
    if len(said) and said[-1] == VOCABULARY[END]:
        yield said
        return
    for token in np.flatnonzero(~np.isnan(q(np.append(history, said)))):
        yield from _said_after(q, history, np.append(said, token).astype(np.int32))
