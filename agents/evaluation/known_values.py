"""Reference values of tasks that know their own: the optimum's, and those of the policy that wrote the log."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from agents.evaluation.advantage import Alternatives, Floats, Tokens
from lang_envs.tasks.movie_review import MovieReview

QOf = Callable[[Tokens], Floats]
"""``q(history)`` -> [V], Q of each next token; NaN where it is not known"""


def of_movie_review(task: MovieReview, gamma: float) -> dict[str, list[Alternatives]]:
    """All reviews in the only state there is, with the ``optimal`` values and those of the ``behaviour``."""
    opening = np.array(task.opening, np.int32)  # [P]
    reviews = [np.array(review, np.int32) for review in task.reviews]
    of: dict[str, QOf] = {
        "optimal": lambda history: task.optimal_q(history, gamma),
        "behaviour": lambda history: task.behaviour_q(history, gamma),
    }
    return {name: [alternatives(opening, reviews, q)] for name, q in of.items()}


def alternatives(history: Tokens, utterances: Sequence[Tokens], q: QOf) -> Alternatives:
    """The values of every token of what could be said after a history."""
    return Alternatives(history, utterances, [_along(history, utterance, q) for utterance in utterances])


def _along(history: Tokens, utterance: Tokens, q: QOf) -> NDArray[np.float64]:
    return np.array([q(np.append(history, utterance[:k]))[token] for k, token in enumerate(utterance)])
