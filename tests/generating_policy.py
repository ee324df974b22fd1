"""A policy written with transformers alone: its ``generate`` reads the whole history again at every turn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lang_envs import Turn


class Generating:
    """Says the likeliest tokens; histories are padded on the left, as ``generate`` wants them."""

    def __init__(self, model: Any, end_id: int, pad_id: int, max_utterance_tokens: int) -> None:
        self.model, self.end_id, self.pad_id = model.eval(), end_id, pad_id
        self.limits = {"max_new_tokens": max_utterance_tokens, "do_sample": False, "use_cache": True}

    @torch.inference_mode()
    def act(self, histories: Sequence[NDArray[np.int32]], rngs: Sequence[np.random.Generator]) -> list[Turn]:
        """One utterance for each history (see ``lang_envs.Policy``)."""
        longest = max(map(len, histories))
        ids = torch.full((len(histories), longest), self.pad_id)  # [n, T]
        mask = torch.zeros_like(ids)  # [n, T]
        for row, history in enumerate(histories):
            ids[row, longest - len(history) :] = torch.from_numpy(history.astype(np.int64))
            mask[row, longest - len(history) :] = 1
        tokens = {"eos_token_id": self.end_id, "pad_token_id": self.pad_id}
        said = self.model.generate(input_ids=ids, attention_mask=mask, **tokens, **self.limits)[:, longest:].numpy()
        ends = said == self.end_id  # [n, new]
        count = np.where(ends.any(1), ends.argmax(1) + 1, said.shape[1])  # [n]
        return [Turn(row[:n].astype(np.int32)) for row, n in zip(said, count, strict=True)]
