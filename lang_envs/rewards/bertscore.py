"""BERTScore (Zhang et al., 2020): the similarity of two texts by the contextual embeddings of their tokens.

Each token of the candidate is matched with the most similar token of the reference, and the other way round. With unit
embeddings x_i of the candidate and y_j of the reference,

    precision = mean_i max_j x_i . y_j        recall = mean_j max_i x_i . y_j        F1 = 2 P R / (P + R)

The means run over the tokens of the text itself. The maxima run also over the two tokens that open and close a text.
Rescaling maps the baseline b, the score of a random pair of texts, to 0: (score - b) / (1 - b).

The numbers are those of the package ``bert_score`` (without idf weights) for one pair at a time. For many pairs that
package pads, and then counts a negative maximum as 0; here nothing is padded. A text with a visible ASCII character
scores exactly 1 against itself, and is not encoded for it. There are three differences from the package:

- An empty text, or a text of white space, scores 0, before and after rescaling: it earns what a random reply earns.
- F1 is 0 if it would leave [-1, 1], because precision and recall have opposite signs and nearly cancel.
- The class of a model comes from its configuration, never from the name of its path.

For RoBERTa under transformers 5, ``bert_score`` does not reproduce its own published numbers, because it no longer puts
a blank before the text. This module does not put one by default either; ``Encoder(..., leading_space=True)`` does.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lang_envs.rewards.bertscore_baselines import PUBLISHED_LAYERS, Baseline, baseline_of
from lang_envs.rewards.encoder import Encoder, Tokens

Score = Literal["precision", "recall", "f1"]
_COLUMNS: dict[Score, int] = {"precision": 0, "recall": 1, "f1": 2}
_CERTAIN = re.compile("[!-~]")  # every tokenizer has a token for these, so a text with one of them has content


class BERTScore:
    """Similarity of each candidate to its reference; 1 if they are the same.

    The encoder caches embeddings across calls, so a reference that occurs again is not encoded again. A candidate that
    equals its reference is not encoded at all.

    Args:
        encoder: None for the packaged MiniLM; the path or hub name of another encoder; or an ``Encoder``, to share its
            cache.
        layer: the layer whose embeddings are compared, from 1. None for the layer published for the model (17 for
            "roberta-large"), or if none was published, the last. In MiniLM the last layer separates paraphrases from
            unrelated texts best.
        rescale: True for the baseline measured for this encoder and layer; False for raw scores. For another baseline,
            three numbers (precision, recall, F1) or a file in ``bert_score``'s layout (LAYER,P,R,F).
        score: "precision", "recall" or "f1".
        fast: whether the encoder runs in bf16. Over 4,000 pairs of agent turns with MiniLM, raw scores are off by at
            most 0.0032 (0.0044 rescaled) and by 0.0004 (0.0006) on average; no click changes. It is faster only on a
            processor with bf16 instructions. On others, ``layer=3`` halves the work, with scores on another scale.

    Raises:
        ValueError: an option does not fit the encoder, or no baseline is known for it.
    """

    def __init__(
        self,
        encoder: str | os.PathLike[str] | Encoder | None = None,
        layer: int | None = None,
        *,
        rescale: bool | Baseline | str | os.PathLike[str] = True,
        score: Score = "f1",
        fast: bool = False,
    ) -> None:
        if score not in _COLUMNS:
            raise ValueError(f"score must be 'precision', 'recall' or 'f1', got {score!r}")
        if isinstance(encoder, Encoder):
            if fast or layer not in (None, encoder.num_layers):
                raise ValueError(
                    f"the encoder passed has {encoder.num_layers} layers and its own precision; choose both where it "
                    "is made, as in Encoder(layer=3, precision='bf16')"
                )
            self.encoder = encoder
        else:
            layer = PUBLISHED_LAYERS.get(str(encoder)) if layer is None else layer
            self.encoder = Encoder(encoder, layer, precision="bf16" if fast else "fp32")
        self._column = _COLUMNS[score]
        self.baseline = baseline_of(self.encoder, rescale)[self._column]

    def __call__(self, candidates: Sequence[str], references: Sequence[str]) -> NDArray[np.float32]:
        """The score of each candidate against the reference in the same place, float32 [n].

        Raises:
            ValueError: there are not as many references as candidates.
        """
        if len(candidates) != len(references):
            raise ValueError(f"expected a reference for each of {len(candidates)} candidates, got {len(references)}")
        written = list(zip(map(str.strip, candidates), map(str.strip, references), strict=True))
        says = [bool(candidate and reference) for candidate, reference in written]
        same = [candidate == reference and bool(_CERTAIN.search(candidate)) for candidate, reference in written]
        open_ = [pair for pair, known in zip(written, same, strict=True) if not known]
        tokens = self.encoder.tokens([*(candidate for candidate, _ in open_), *(reference for _, reference in open_)])
        scores = np.ones(len(written), np.float32)
        scores[~np.array(same, np.bool_)] = [
            similarity(*pair)[self._column] for pair in zip(tokens[: len(open_)], tokens[len(open_) :], strict=True)
        ]
        rescaled = (scores - self.baseline) / (1 - self.baseline)
        return np.where(says, rescaled, 0).astype(np.float32)

    def click(self, threshold: float = 0.6) -> BERTClick:
        """A reward of 1 or 0: whether the similarity of a candidate is above ``threshold``."""
        return BERTClick(self, threshold)


@dataclass(frozen=True)
class BERTClick:
    """1 if the similarity is above a threshold, otherwise 0. It models whether an agent would click on a suggestion."""

    similarity: BERTScore
    threshold: float = 0.6

    def __call__(self, candidates: Sequence[str], references: Sequence[str]) -> NDArray[np.float32]:
        """0 or 1 for each candidate, float32 [n]."""
        return (self.similarity(candidates, references) > self.threshold).astype(np.float32)


def similarity(candidate: Tokens, reference: Tokens) -> tuple[float, float, float]:
    """Precision, recall and F1 of one pair, not rescaled; all are 0 if a text has no content."""
    if not (candidate.is_content.any() and reference.is_content.any()):
        return 0.0, 0.0, 0.0
    similarities = candidate.vectors @ reference.vectors.T  # [n, m]
    precision = float(similarities.max(axis=1)[candidate.is_content].mean())
    recall = float(similarities.max(axis=0)[reference.is_content].mean())
    product, total = 2 * precision * recall, precision + recall
    if product <= 0 and abs(product) >= abs(total):
        return precision, recall, 0.0
    return precision, recall, product / total
