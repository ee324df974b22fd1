"""Classifiers of single texts: the packaged heads on sentence embeddings, and any text-classification model.

A classifier is any callable that takes n texts and returns n probabilities.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lang_envs.pretrained import load, load_config, token_limit
from lang_envs.rewards.encoder import Encoder
from lang_envs.rewards.one_at_a_time import OneAtATime
from lang_envs.rewards.text_cache import TextCache

Classifier = Callable[[Sequence[str]], NDArray[np.float32]]
"""n texts -> [n] the probability that the classifier's statement is true of each text."""

WEIGHTS = Path(__file__).with_name("weights")
HEADS = tuple(sorted(path.stem for path in WEIGHTS.glob("*.safetensors")))
"""The packaged heads; ``weights/README.md`` says what each was trained on and how accurate it is."""


class HeadClassifier:
    """A perceptron with one hidden layer on a text's sentence embedding.

    p = sigmoid(w2 relu(W1 x + b1) + b2), with x of length 1.

    Args:
        weights: a safetensors file with ``w1`` [D, H], ``b1`` [H], ``w2`` [H], ``b2`` [1].
        encoder: makes the embeddings; it must be the encoder of training. None: the packaged MiniLM, shared by all
            heads.

    Raises:
        ValueError: the file is not such a head.
    """

    def __init__(self, weights: str | os.PathLike[str], encoder: Encoder | None = None) -> None:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            found = load_file(weights)
        except (SafetensorError, OSError) as error:
            raise ValueError(f"{weights}: expected the safetensors of a head ({error})") from error
        if found.keys() != {"w1", "b1", "w2", "b2"}:
            raise ValueError(f"{weights}: expected the tensors w1, b1, w2 and b2 of a head, got {sorted(found)}")
        self.w1, self.b1, self.w2, self.b2 = (found[name] for name in ("w1", "b1", "w2", "b2"))
        self._encoder = encoder

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The probability for each text, float32 [n]."""
        encoder = minilm() if self._encoder is None else self._encoder
        hidden = np.maximum(encoder.embed(texts) @ self.w1 + self.b1, 0)  # [n, H]
        return (1 / (1 + np.exp(-(hidden @ self.w2 + self.b2)))).astype(np.float32)


class HubClassifier:
    """Any text-classification model of the hub, or of a folder; safetensors weights, no remote code.

    Args:
        path: the model.
        label: the label whose probability is returned, by its name in the model's configuration. None for the only
            output, or for the second of two (``LABEL_1``, "toxic").
        batch_size: number of texts in one forward pass.

    Raises:
        ValueError: there is no such model, it was not trained to classify, the label is unknown, or no label is given
            and there are more than two.
    """

    def __init__(self, path: str | os.PathLike[str], label: str | None = None, batch_size: int = 32) -> None:
        from transformers import AutoModelForSequenceClassification

        config = load_config(str(path))
        self._index = _index_of(label, config.id2label, path)
        self._sigmoid = config.problem_type == "multi_label_classification" or config.num_labels == 1
        self._model, self._tokenizer = load(AutoModelForSequenceClassification, str(path), config, "fp32")
        self._max_tokens = token_limit(self._tokenizer, self._model)
        self.batch_size = batch_size
        self._lock = OneAtATime()  # a tokenizer serves one thread at a time
        self._cache = TextCache[np.float32](2**20, _nbytes)

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The probability for each text, float32 [n]."""
        return np.array(self._cache.get(texts, self._probabilities), np.float32)

    def _probabilities(self, texts: Sequence[str]) -> list[np.float32]:
        import torch

        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))  # similar lengths need little padding
        found = np.zeros(len(texts), np.float32)
        how = {"padding": True, "truncation": True, "max_length": self._max_tokens, "return_tensors": "pt"}
        with self._lock, torch.inference_mode():
            for at in range(0, len(order), self.batch_size):
                rows = order[at : at + self.batch_size]
                logits = self._model(**self._tokenizer([texts[row] for row in rows], **how)).logits  # [b, C]
                shares = logits.sigmoid() if self._sigmoid else logits.softmax(dim=-1)
                found[rows] = shares[:, self._index].numpy()
        return list(found)


def load_classifier(classifier: str | os.PathLike[str] | Classifier, label: str | None = None) -> Classifier:
    """A classifier by the name of a packaged head or the path or hub name of a model; a callable is returned as it is.

    Args:
        classifier: one of ``HEADS``, a ``.safetensors`` file of a head, a model, or any callable.
        label: the label of a model; see :class:`HubClassifier`.
    """
    if callable(classifier):
        return classifier
    if classifier in HEADS:
        return HeadClassifier(WEIGHTS / f"{classifier}.safetensors")
    if Path(classifier).suffix == ".safetensors":
        return HeadClassifier(classifier)
    return HubClassifier(classifier, label)


def probabilities(classifier: Classifier, texts: Sequence[str]) -> NDArray[np.float64]:
    """A classifier's probability for each text [n], rounded to three decimals.

    They are rounded because a model's last bits depend on the other texts in the batch.

    Raises:
        ValueError: the classifier does not give a probability for each text.
    """
    found = np.asarray(classifier(texts), np.float64).round(3)
    if found.shape != (len(texts),) or not ((found >= 0) & (found <= 1)).all():
        raise ValueError(f"the classifier must give a probability for each of {len(texts)} texts, got {found!r}")
    return found


@lru_cache(maxsize=1)
def minilm() -> Encoder:
    """The packaged encoder, shared by all heads, so that they share the cache of embeddings."""
    return Encoder()


def _nbytes(probability: np.float32) -> int:
    return probability.nbytes


def _index_of(label: str | None, names: dict[int, str], path: str | os.PathLike[str]) -> int:
    if label is None and len(names) <= 2:
        return len(names) - 1
    for index, name in names.items():
        if name == label:
            return index
    raise ValueError(f"{path}: expected label= to be one of {list(names.values())}, got {label!r}")
