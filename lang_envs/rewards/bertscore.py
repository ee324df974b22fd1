"""BERTScore (Zhang et al., 2020): how similar two texts are, token by token, in an encoder's contextual embeddings.

Each token of the candidate is matched with the most similar token of the reference, and the other way round: with unit
embeddings x_i of the candidate and y_j of the reference,

    precision = mean_i max_j x_i . y_j        recall = mean_j max_i x_i . y_j        F1 = 2 P R / (P + R)

The means run over the tokens of the text itself, the maxima also over the two that open and close it. Rescaling maps
the score of a random pair of texts, the baseline b, to 0: (score - b) / (1 - b).

The numbers are those of the package ``bert_score`` (no idf weights) given one pair at a time. Given many pairs it pads
them, and then counts a negative maximum as 0; here nothing is padded. A text with a letter, digit or other visible
ASCII character scores exactly 1 against itself, and is not encoded for it. And departing from it:

- an empty text, or one of white space, scores 0, before and after rescaling: it earns what a random reply earns;
- F1 is 0 where precision and recall of opposite signs cancel so far that it would leave [-1, 1];
- models are loaded by what their configuration says they are, never by what their path is called.

For RoBERTa under transformers 5, ``bert_score`` departs from its own published numbers: it no longer puts a blank
before the text. Neither does this by default; ``Encoder(..., leading_space=True)`` does.
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
_CERTAIN = re.compile("[!-~]")  # every tokenizer has a token for these, so that a text with one has content


class BERTScore:
    """Similarity of each candidate to its reference, 1 where they are the same.

    Embeddings are kept by the encoder across calls, so references that come again cost nothing, and a candidate that is
    its reference costs nothing either.

    Args:
        encoder: None for the packaged MiniLM; the path or hub name of another; or an ``Encoder``, to share its memory.
        layer: whose embeddings are compared, from 1. None for the layer published for the model where there is one
            (17 for "roberta-large"), else the last, which parts paraphrases from unrelated texts best in MiniLM.
        rescale: True for the baseline measured for this encoder and layer; three numbers (precision, recall, F1), or a
            file in ``bert_score``'s layout (LAYER,P,R,F), for another; False for raw scores.
        score: which of the three.
        fast: the encoder in bf16. Over 4,000 pairs of agent turns with MiniLM, raw scores are off by at most 0.0032
            (0.0044 rescaled) and by 0.0004 (0.0006) in the mean; no click changes. It takes a processor with bf16
            instructions to be faster; on others, ``layer=3`` halves the work, on a scale of its own.

    Raises:
        ValueError: where an option does not fit the encoder, or no baseline is known for it.
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
            ValueError: where there are not as many references as candidates.
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
        """Whether a candidate is similar enough to be chosen, as a reward of its own."""
        return BERTClick(self, threshold)


@dataclass(frozen=True)
class BERTClick:
    """1 where the similarity is above a threshold, else 0: would an agent shown this suggestion click on it?"""

    similarity: BERTScore
    threshold: float = 0.6

    def __call__(self, candidates: Sequence[str], references: Sequence[str]) -> NDArray[np.float32]:
        """0 or 1 for each candidate, float32 [n]."""
        return (self.similarity(candidates, references) > self.threshold).astype(np.float32)


def similarity(candidate: Tokens, reference: Tokens) -> tuple[float, float, float]:
    """Precision, recall and F1 of one pair, not rescaled; 0 where a text has no content."""
    if not (candidate.is_content.any() and reference.is_content.any()):
        return 0.0, 0.0, 0.0
    similarities = candidate.vectors @ reference.vectors.T  # [n, m]
    precision = float(similarities.max(axis=1)[candidate.is_content].mean())
    recall = float(similarities.max(axis=0)[reference.is_content].mean())
    product, total = 2 * precision * recall, precision + recall
    if product <= 0 and abs(product) >= abs(total):
        return precision, recall, 0.0
    return precision, recall, product / total
