"""The policy that wrote the logged movie reviews."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lang_envs.rollout import Turn
from lang_envs.tasks.movie_review import REVIEWS, MovieReview


class Reviewer:
    """Draws a review of the table by its share, and gives the log-probability of every token."""

    def __init__(self, task: MovieReview | None = None) -> None:
        task = MovieReview() if task is None else task
        self._turns = [self._turn(task, tokens) for tokens in task.reviews]
        self._cumulative = np.cumsum([review.share for review in REVIEWS])

    def act(self, histories: Sequence[NDArray[np.int32]], rngs: Sequence[np.random.Generator]) -> list[Turn]:
        """One review for each history, drawn with one uniform random number."""
        drawn = np.array([rng.random() for rng in rngs]) * self._cumulative[-1]
        return [self._turns[i] for i in np.searchsorted(self._cumulative, drawn, side="right")]

    @staticmethod
    def _turn(task: MovieReview, tokens: Sequence[int]) -> Turn:
        policies = [task.behaviour_policy((*task.opening, *tokens[:i])) for i in range(len(tokens))]
        logprobs = np.log([policy[token] for policy, token in zip(policies, tokens, strict=True)])
        return Turn(np.array(tokens, np.int32), logprobs.astype(np.float32))
