"""Ids that belong to no token, where a vocabulary has holes: no model says them, in training, play or ``generate``."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

NEVER = -1e8  # a score no token is said with; unlike -inf it leaves the entropy's gradient a number


class Silence:
    """A hook behind the head of a language model, whose scores of some tokens it replaces.

    It is there wherever scores are made of hidden states, so that losses and policies have the same distribution.
    """

    def __init__(self, tokens: NDArray[Any]) -> None:
        self.tokens = torch.as_tensor(tokens)  # [h]

    def __call__(self, head: Any, inputs: Any, scores: Tensor) -> Tensor:
        """Scores [..., V] -> [..., V]."""
        return scores.index_fill(-1, self.tokens.to(scores.device), NEVER)


def silence(model: Any, tokens: NDArray[Any]) -> None:
    """Keeps a model from saying ``tokens`` [h], also in ``generate`` once it is saved; twice is as good as once."""
    if not len(tokens):
        return
    head = model.get_output_embeddings()
    if not any(isinstance(hook, Silence) for hook in head._forward_hooks.values()):
        head.register_forward_hook(Silence(tokens))
    if model.generation_config is not None:
        others = model.generation_config.suppress_tokens or []
        model.generation_config.suppress_tokens = sorted({*others, *tokens.tolist()})
