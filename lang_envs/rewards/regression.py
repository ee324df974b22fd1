"""Similarity by a trained regression model, such as BLEURT, COMET-style cross-encoders or STS models."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lang_envs.pretrained import load, load_config, token_limit
from lang_envs.rewards.hidden_states import batches
from lang_envs.rewards.one_at_a_time import OneAtATime


class SequenceRegression:
    """Scores a candidate against a reference by a sequence-classification model with one output.

    The model reads the two as a pair, the reference first, as in BLEURT (Sellam et al., 2020). The score is the model's
    output on its own scale, also for an empty candidate.

    Args:
        path: folder of a saved model, or its name on the hub; weights in safetensors, and no code of the model is run.
        batch_tokens: most tokens of one forward pass, padding included.
        device: the torch device on which the model runs.

    Raises:
        ValueError: there is no such model, or it has several outputs.
    """

    def __init__(self, path: str | os.PathLike[str], *, batch_tokens: int = 2048, device: str = "cpu") -> None:
        from transformers import AutoModelForSequenceClassification

        config = load_config(str(path))
        if config.num_labels != 1:
            raise ValueError(
                f"{path} has {config.num_labels} outputs; expected a regression model with one (num_labels=1)"
            )
        model, self._tokenizer = load(AutoModelForSequenceClassification, str(path), config, "fp32")
        self._model = model.to(device)
        self._batch_tokens, self._device = batch_tokens, device
        self._max_tokens = token_limit(self._tokenizer, self._model)
        self._lock = OneAtATime()

    def __call__(self, candidates: Sequence[str], references: Sequence[str]) -> NDArray[np.float32]:
        """The model's output for each pair, float32 [n].

        Raises:
            ValueError: there are not as many references as candidates.
        """
        import torch

        if len(candidates) != len(references):
            raise ValueError(f"expected a reference for each of {len(candidates)} candidates, got {len(references)}")
        scores = np.zeros(len(candidates), np.float32)
        if not len(candidates):
            return scores
        with self._lock, torch.inference_mode():
            encoded = self._tokenizer(list(references), list(candidates), truncation=True, max_length=self._max_tokens)
            for rows in batches([len(ids) for ids in encoded["input_ids"]], self._batch_tokens, pads=True):
                batch = {name: [values[row] for row in rows] for name, values in encoded.items()}
                padded = self._tokenizer.pad(batch, return_tensors="pt").to(self._device)
                scores[rows] = self._model(**padded).logits[:, 0].float().cpu().numpy()
        return scores
