"""Compares learned values with the exact values of MovieReview."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lang_envs.episode import Episode, Episodes
from lang_envs.tasks.movie_review import REVIEWS, MovieReview

if TYPE_CHECKING:
    from agents.models.value_lm import ValueLM

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ExactValues:
    """Every review that can be logged, with the exact Q of each of its tokens; B reviews, at most A tokens."""

    reviews: Episodes
    weight: Floats  # [B, A] how often the logs take each action; 0 in the padding, sums to 1
    optimal: Floats  # [B, A] Q*
    behaviour: Floats  # [B, A] Q of the logged behaviour
    optimal_start: float
    behaviour_start: float

    @classmethod
    def of(cls, task: MovieReview, gamma: float) -> ExactValues:
        """Computes them in closed form; ``gamma`` is the discount per token."""
        start = len(task.opening)
        longest = max(len(review) for review in task.reviews)
        weight, optimal, behaviour = (np.zeros((len(task.reviews), longest)) for _ in range(3))  # [B, A] each
        episodes = []
        for b, review in enumerate(task.reviews):
            tokens = np.array([*task.opening, *review], dtype=np.int32)  # [T]
            acted = np.arange(len(tokens)) >= start  # [T]
            rewards = np.where(np.arange(len(tokens)) == len(tokens) - 1, REVIEWS[b].reward, 0.0).astype(np.float32)
            episodes.append(Episode(tokens, acted, rewards, terminated=True))
            for i, token in enumerate(review):
                history = tokens[: start + i]
                weight[b, i] = REVIEWS[b].share
                optimal[b, i] = task.optimal_q(history, gamma)[token]
                behaviour[b, i] = task.behaviour_q(history, gamma)[token]
        return cls(
            Episodes.from_list(episodes),
            weight / weight.sum(),
            optimal,
            behaviour,
            task.optimal_value(task.opening, gamma),
            task.behaviour_value(task.opening, gamma),
        )

    def compare(self, model: ValueLM, pad_id: int, end_id: int) -> dict[str, float]:
        """Compares a model's values with the exact ones.

        Returns:
            ``start``: V at the start. ``optimal_error`` and ``behaviour_error``: root mean square error of the target
            Q. ``optimal_start`` and ``behaviour_start``: the exact V at the start.
        """
        import torch

        from agents.data.batch import collate

        batch = collate(self.reviews, pad_id, end_id).to(model.device)
        was_training = model.training
        model.eval()
        with torch.inference_mode():
            values = model.values(batch)
        model.train(was_training)
        q = batch.in_rows(values.target_q).double().cpu().numpy()  # [B, A]
        return {
            "start": float(values.v[0]),
            "optimal_error": float(np.sqrt((self.weight * (q - self.optimal) ** 2).sum())),
            "behaviour_error": float(np.sqrt((self.weight * (q - self.behaviour) ** 2).sum())),
            "optimal_start": self.optimal_start,
            "behaviour_start": self.behaviour_start,
        }
