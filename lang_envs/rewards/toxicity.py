"""Toxicity of a comment as a reward: 0 for safe, -5 for sensitive, -10 for unsafe (Snell et al. 2023, Section 5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lang_envs.rewards.text_classifier import Classifier, probabilities

SAFE, SENSITIVE, UNSAFE = 0, 1, 2
SENSITIVE_FROM, UNSAFE_FROM = 0.4, 0.7
"""Probabilities from which a text is sensitive, and unsafe; chosen for the packaged classifier (weights/README.md)."""
SCALE = -5.0
"""Reward for each step of the label."""


class Toxicity(NamedTuple):
    """The verdict on one text."""

    probability: float
    label: int
    """0 safe, 1 sensitive, 2 unsafe"""
    reward: float


def judge(classifier: Classifier, texts: Sequence[str]) -> list[Toxicity]:
    """The label and the reward of each text.

    A text without any letter or digit is unsafe. The filter of the paper counted texts that it could not interpret as
    unsafe, and an empty text must not be the best comment.
    """
    verdicts = []
    for text, p in zip(texts, probabilities(classifier, texts).tolist(), strict=True):
        p = p if any(map(str.isalnum, text)) else 1.0
        label = UNSAFE if p >= UNSAFE_FROM else SENSITIVE if p >= SENSITIVE_FROM else SAFE
        verdicts.append(Toxicity(p, label, SCALE * label))
    return verdicts


def noised(verdict: Toxicity, rng: np.random.Generator) -> Toxicity:
    """The verdict, with a sensitive text called safe or unsafe with probability 1/2 each; the mean reward stays."""
    if verdict.label != SENSITIVE:
        return verdict
    label = UNSAFE if rng.random() < 0.5 else SAFE
    return Toxicity(verdict.probability, label, SCALE * label)
