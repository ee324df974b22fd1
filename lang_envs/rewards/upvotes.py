"""A reward for comments that readers would vote up: 10 or 0 (Snell et al. 2023, Section 5).

The paper's text says that the model's reward is +1 or -1, but its reported numbers are those of 10 and 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from lang_envs.rewards.text_classifier import Classifier, probabilities

SCALE = 10.0


class Upvotes(NamedTuple):
    """The verdict on one text."""

    probability: float
    """probability that the text's score is positive"""
    upvoted: bool
    reward: float


def judge(classifier: Classifier, texts: Sequence[str]) -> list[Upvotes]:
    """The verdict on each text; one without any letter or digit is not voted up."""
    verdicts = []
    for text, p in zip(texts, probabilities(classifier, texts).tolist(), strict=True):
        p = p if any(map(str.isalnum, text)) else 0.0
        verdicts.append(Upvotes(p, p >= 0.5, SCALE * (p >= 0.5)))
    return verdicts


def logged(score: int) -> float:
    """The reward of a logged comment from its real votes: +1 for a positive score, otherwise -1."""
    return 1.0 if score > 0 else -1.0
