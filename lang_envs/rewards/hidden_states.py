"""HiddenStates: the output of one layer of a pretrained transformer at every token of a text.

On a CPU, BERT and RoBERTa run without padding (``packed_bert``). In all other cases texts of similar length are padded
to the longest, and transformers runs the model.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lang_envs.pretrained import Precision, first_position, load, load_config, token_limit
from lang_envs.rewards.one_at_a_time import OneAtATime
from lang_envs.rewards.packed_bert import PackedBert, can_pack

SMALL_WASTE = 48
"""Most padding tokens of a forward pass; they cost about as much as starting another pass."""


class HiddenStates:
    """The output of a layer, token by token; ``Encoder`` documents the options.

    Attributes:
        config: the transformers configuration.
        max_tokens: most tokens of a text, special tokens included: the smaller limit of tokenizer and model.
        special_ids: the ids of the tokens that open and close a text.
    """

    def __init__(self, path: str, layer: int | None, precision: Precision, batch_tokens: int, device: str) -> None:
        from transformers import AutoModel

        if precision not in ("fp32", "bf16"):
            raise ValueError(f"precision must be 'fp32' or 'bf16', got {precision!r}")
        if batch_tokens < 1:
            raise ValueError(f"batch_tokens must be at least 1, got {batch_tokens}")
        self._batch_tokens, self._device = batch_tokens, device
        config = load_config(path)
        if layer is not None:
            if not 1 <= layer <= config.num_hidden_layers:
                raise ValueError(f"layer must be from 1 to {config.num_hidden_layers} for {path}, got {layer}")
            config.num_hidden_layers = layer
        model, self._tokenizer = load(AutoModel, path, config, precision)
        self._model = (model.get_encoder() if config.is_encoder_decoder else model).to(device)
        self._lock = OneAtATime()
        self.config = config
        self._packed = PackedBert(model, first_position(model)) if device == "cpu" and can_pack(config) else None
        self.max_tokens = token_limit(self._tokenizer, self._model)
        special = (self._tokenizer.cls_token_id, self._tokenizer.sep_token_id)
        self.special_ids = tuple(i for i in special if i is not None)

    def __call__(self, texts: Sequence[str]) -> list[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """The ids [n] of each text and the layer's output [n, D] at each; one thread at a time."""
        import torch

        with self._lock, torch.inference_mode():
            ids = self._tokenizer(
                list(texts),
                truncation=True,
                max_length=self.max_tokens,
                return_attention_mask=False,
                return_token_type_ids=False,
            )["input_ids"]
            lengths = [len(row) for row in ids]
            found: list[NDArray[np.float32]] = [np.zeros((0, self.config.hidden_size), np.float32)] * len(texts)
            for rows in batches(lengths, self._batch_tokens, pads=self._packed is None):
                batch = [ids[row] for row in rows]
                for row, hidden in zip(rows, self._forward(batch), strict=True):
                    found[row] = hidden.copy()  # so that the batch's memory can be freed
        return [(np.array(row, np.int64), hidden) for row, hidden in zip(ids, found, strict=True)]

    def _forward(self, ids: list[list[int]]) -> list[NDArray[np.float32]]:
        """One forward pass over texts sorted by length; returns [n, D] for each text."""
        if self._packed is None:
            return self._padded(ids)
        hidden = self._packed(ids).float().numpy()  # [T, D]
        return np.split(hidden, np.cumsum([len(row) for row in ids])[:-1])

    def _padded(self, ids: list[list[int]]) -> list[NDArray[np.float32]]:
        """One forward pass in which each text is padded to the longest, with a mask; returns [n, D] for each text."""
        import torch

        padded = torch.zeros(len(ids), max(map(len, ids)), dtype=torch.long)  # [b, n]
        mask = torch.zeros_like(padded)
        for row, row_ids in enumerate(ids):
            padded[row, : len(row_ids)] = torch.tensor(row_ids)
            mask[row, : len(row_ids)] = 1
        output = self._model(input_ids=padded.to(self._device), attention_mask=mask.to(self._device))
        hidden = output.last_hidden_state.float().cpu().numpy()  # [b, n, D]
        return [row[: len(row_ids)] for row, row_ids in zip(hidden, ids, strict=True)]


def batches(lengths: Sequence[int], batch_tokens: int, pads: bool) -> list[list[int]]:
    """Rows in batches, shortest first; rows without tokens are in none.

    Args:
        lengths: number of tokens of each row.
        batch_tokens: most tokens of a batch, padding included; a longer row is a batch by itself.
        pads: whether rows are padded; then a batch holds only rows of similar length.
    """
    found: list[list[int]] = []
    used = 0  # number of tokens of the last batch, without padding
    for row in sorted(filter(lengths.__getitem__, range(len(lengths))), key=lengths.__getitem__):
        length = lengths[row]
        padding = length * (len(found[-1]) + 1) - used - length if found and pads else 0
        if found and used + length + padding <= batch_tokens and padding <= SMALL_WASTE:
            found[-1].append(row)
            used += length
        else:
            found.append([row])
            used = length
    return found
