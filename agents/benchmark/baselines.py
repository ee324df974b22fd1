"""Policies that are not trained, by the names that experiments use for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lang_envs.rollout import Policy, Turn

if TYPE_CHECKING:
    from lang_envs.tasks.movie_review import MovieReview
    from lang_envs.vector import TokenVectorEnv

Histories = Sequence[NDArray[np.int32]]


def make_policy(name: str, env: TokenVectorEnv, **options: Any) -> Policy:
    """A policy that is not trained, by the name it has for the environment's task.

    Raises:
        ValueError: the task has no policy of that name.
    """
    task = type(env.task).__name__
    policies = {"Wordle": _wordle_policies, "MovieReview": _movie_review_policies}
    known = policies[task]() if task in policies else {}
    if name not in known:
        raise ValueError(f"{task} has no policy {name!r}; it has {', '.join(known) or 'none'}.")
    return known[name](env.task, **options)


def _wordle_policies() -> dict[str, Callable[..., Policy]]:
    from lang_envs.policies import wordle

    return {
        "random": wordle.RandomLegal,
        "random_word": wordle.RandomValid,
        "random_consistent": wordle.RandomConsistent,
        "mixture": wordle.RandomMixture,
        "optimal": wordle.Optimal,
    }


def _movie_review_policies() -> dict[str, Callable[..., Policy]]:
    from lang_envs.policies import movie_review

    return {"random": RandomReview, "reviewer": movie_review.Reviewer, "optimal": OptimalReview}


class RandomReview:
    """Writes a review token by token, every token that goes on to one equally likely."""

    def __init__(self, task: MovieReview) -> None:
        self.task = task

    def act(self, histories: Histories, rngs: Sequence[np.random.Generator]) -> list[Turn]:
        """One review for each history."""
        return [Turn(self._review(rng)) for rng in rngs]

    def _review(self, rng: np.random.Generator) -> NDArray[np.int32]:
        said: list[int] = []
        while not said or said[-1] != self.task.end_id:
            legal = self.task.legal_tokens(None, said, self.task.tokenizer())
            assert legal is not None  # the tokenizer is the task's own
            said.append(int(rng.choice(np.flatnonzero(legal))))
        return np.array(said, np.int32)


class OptimalReview:
    """Writes the token of the highest exact value, one after another."""

    def __init__(self, task: MovieReview) -> None:
        self.task = task

    def act(self, histories: Histories, rngs: Sequence[np.random.Generator]) -> list[Turn]:
        """One review for each history."""
        return [Turn(self._review(history)) for history in histories]

    def _review(self, history: NDArray[np.int32]) -> NDArray[np.int32]:
        said: list[int] = []
        while not said or said[-1] != self.task.end_id:
            said.append(int(self.task.optimal_q([*history, *said]).argmax()))
        return np.array(said, np.int32)
