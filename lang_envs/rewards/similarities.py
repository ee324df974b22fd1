"""Similarities of a text to a reference, by name, or trained ones by their path."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from numpy.typing import ArrayLike

from lang_envs.rewards.bertscore import BERTScore

Similarity = Callable[[Sequence[str], Sequence[str]], ArrayLike]
"""(candidates, references) -> [n]"""

NAMES = ("bertscore", "bertclick", "bleu", "chrf", "meteor")
"""the names of the similarities that come with this package"""


@lru_cache(maxsize=8)  # a model is loaded once for all environments
def similarity_of(name: str) -> Similarity:
    """The similarity of that name, or the regression model at that path.

    Raises:
        ValueError: there is no such similarity or model.
    """
    if name == "bertscore":
        return _bertscore()
    if name == "bertclick":
        return _bertscore().click()
    from lang_envs.rewards import overlap

    measures: dict[str, Any] = {"bleu": overlap.BLEU, "chrf": overlap.ChrF, "meteor": overlap.METEOR}
    if name in measures:
        return measures[name]()
    from lang_envs.rewards.regression import SequenceRegression

    try:
        return SequenceRegression(name)
    except ValueError as error:
        raise ValueError(f"a reward is one of {[*NAMES]}, or a regression model: {error}") from error


@lru_cache(maxsize=1)
def _bertscore() -> BERTScore:
    """One BERTScore for both rewards, so that they share the cache of embeddings."""
    return BERTScore()
