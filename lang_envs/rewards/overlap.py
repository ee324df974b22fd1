"""Similarity by shared words and letters: BLEU and chrF of sacrebleu, METEOR of nltk. No model or data is downloaded.

Each scores one sentence, from 0 to 1. The score is 0 if either text is empty or white space.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


class BLEU:
    """Sentence BLEU (Papineni et al., 2002): precision of n-grams of up to four words, and a penalty for brevity.

    It is sacrebleu's sentence score, divided by 100. The tokenizer is "13a" and case counts. Orders longer than the
    candidate are left out (``effective_order``). The k-th order without a match has the precision 1 / (2^k n) for n
    n-grams ("exp" smoothing, method 3 of Chen and Cherry, 2014). Without smoothing most short replies would score 0. A
    candidate that shares no word scores 0.
    """

    def __init__(self) -> None:
        self._metric = sacrebleu_metrics().BLEU(effective_order=True)

    def __call__(self, candidates: Sequence[str], references: Sequence[str]) -> NDArray[np.float32]:
        """The score of each candidate, float32 [n]."""
        pairs = _pairs(candidates, references)
        return _scores(self._metric.sentence_score(c, [r]).score / 100 if c and r else 0.0 for c, r in pairs)


class ChrF:
    """Sentence chrF2 (Popovic, 2015): F-score of n-grams of one to six characters; recall counts twice as much.

    It is sacrebleu's sentence score with its defaults, divided by 100: white space is left out, and case counts.
    """

    def __init__(self) -> None:
        self._metric = sacrebleu_metrics().CHRF()

    def __call__(self, candidates: Sequence[str], references: Sequence[str]) -> NDArray[np.float32]:
        """The score of each candidate, float32 [n]."""
        pairs = _pairs(candidates, references)
        return _scores(self._metric.sentence_score(c, [r]).score / 100 if c and r else 0.0 for c, r in pairs)


class METEOR:
    """METEOR (Lavie and Agarwal, 2007): words matched exactly, then by stem, and a penalty for scattered matches.

    It is nltk's ``single_meteor_score`` with its defaults, but without synonyms. Synonyms would need a download of
    WordNet, so the numbers are a little below those of the full METEOR. Words are runs of letters and digits, or of
    punctuation; case does not count. Identical texts of n words score 1 - 0.5 / n^3, so a single word scores 0.5.
    """

    def __init__(self) -> None:
        try:
            from nltk.tokenize import wordpunct_tokenize
            from nltk.translate.meteor_score import single_meteor_score
        except ImportError as error:
            raise ImportError("METEOR comes with the package nltk; pip install nltk") from error
        self._words, self._score = wordpunct_tokenize, single_meteor_score

    def __call__(self, candidates: Sequence[str], references: Sequence[str]) -> NDArray[np.float32]:
        """The score of each candidate, float32 [n]."""
        pairs = _pairs(candidates, references)
        return _scores(
            self._score(self._words(r), self._words(c), wordnet=_NoSynonyms()) if c and r else 0.0 for c, r in pairs
        )


class _NoSynonyms:
    """A WordNet in which no word has a synonym."""

    def synsets(self, word: str) -> tuple[()]:
        return ()


def sacrebleu_metrics() -> Any:
    """The module ``sacrebleu.metrics``.

    Raises:
        ImportError: sacrebleu is not installed; the message says how to install it.
    """
    try:
        from sacrebleu import metrics
    except ImportError as error:
        raise ImportError("BLEU and chrF come with the package sacrebleu; pip install sacrebleu") from error
    return metrics


def _pairs(candidates: Sequence[str], references: Sequence[str]) -> list[tuple[str, str]]:
    if len(candidates) != len(references):
        raise ValueError(f"expected a reference for each of {len(candidates)} candidates, got {len(references)}")
    return [(c.strip(), r.strip()) for c, r in zip(candidates, references, strict=True)]


def _scores(scores: Any) -> NDArray[np.float32]:
    return np.fromiter(scores, np.float32)
