"""Gives ids that belong to no token of the vocabulary a probability of 0, in training, play and ``generate``."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

NEVER = -1e8  # a score whose probability is 0; with -inf the entropy's gradient would be NaN


class Silence:
    """A hook on the head of a language model that replaces the scores of ``tokens`` [h] by ``NEVER``.

    Losses and policies both call the head, and so they have the same distribution.
    """

    def __init__(self, tokens: NDArray[Any]) -> None:
        self.tokens = torch.as_tensor(tokens)  # [h]

    def __call__(self, head: Any, inputs: Any, scores: Tensor) -> Tensor:
        """Scores [..., V] -> [..., V]."""
        return scores.index_fill(-1, self.tokens.to(scores.device), NEVER)


def silence(model: Any, tokens: NDArray[Any]) -> None:
    """Gives ``tokens`` [h] a probability of 0, in place and in the saved model's ``generate``.

    A second call changes nothing.
    """
    if not len(tokens):
        return
    head = model.get_output_embeddings()
    if not any(isinstance(hook, Silence) for hook in head._forward_hooks.values()):
        head.register_forward_hook(Silence(tokens))
    if model.generation_config is not None:
        others = model.generation_config.suppress_tokens or []
        model.generation_config.suppress_tokens = sorted({*others, *tokens.tolist()})
