"""Similarity by shared words and letters: BLEU and chrF of sacrebleu, METEOR of nltk. No model, no data to download.

All are from 0 to 1, of one sentence each, and 0 where either text is empty or white space.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


class BLEU:
    """Sentence BLEU (Papineni et al., 2002): precision of n-grams of up to four words, and a penalty for brevity.

    sacrebleu's sentence score, divided by 100: its tokenizer "13a"; case counts; orders longer than the candidate are
    left out (``effective_order``); and an order without a match counts as 1 / (2^k n), k rising by one with each such
    order among n n-grams ("exp" smoothing, method 3 of Chen and Cherry, 2014). Without smoothing most short replies
    would score 0. A candidate that shares no word scores 0.
    """

    def __init__(self) -> None:
        self._metric = sacrebleu_metrics().BLEU(effective_order=True)

    def __call__(self, candidates: Sequence[str], references: Sequence[str]) -> NDArray[np.float32]:
        """The score of each candidate, float32 [n]."""
        pairs = _pairs(candidates, references)
        return _scores(self._metric.sentence_score(c, [r]).score / 100 if c and r else 0.0 for c, r in pairs)


class ChrF:
    """Sentence chrF2 (Popovic, 2015): F-score of character n-grams of one to six, recall counting twice as much.

    sacrebleu's sentence score with its defaults, divided by 100: white space is left out, case counts.
    """

    def __init__(self) -> None:
        self._metric = sacrebleu_metrics().CHRF()

    def __call__(self, candidates: Sequence[str], references: Sequence[str]) -> NDArray[np.float32]:
        """The score of each candidate, float32 [n]."""
        pairs = _pairs(candidates, references)
        return _scores(self._metric.sentence_score(c, [r]).score / 100 if c and r else 0.0 for c, r in pairs)


class METEOR:
    """METEOR (Lavie and Agarwal, 2007): words matched exactly, then by stem, and a penalty for scattered matches.

    nltk's ``single_meteor_score`` with its defaults, but without synonyms: those are WordNet's, which would have to be
    downloaded, so the numbers are a little below the full METEOR's. Words are runs of letters and digits, or of
    punctuation; case does not count. Identical texts of n words score 1 - 0.5 / n^3, a single word thus 0.5.
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
        ImportError: it is not installed, saying what to do.
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
