"""Merges the end tokens of a chat model into the environment's end token.

A chat model's generation config may name several ids that end its turn, such as ``<|im_end|>`` and ``<|endoftext|>``.
An environment has one end token. So

    pi(end | s) = sum of the model's probabilities of all ends        pi(any other end | s) = 0
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from agents.models.silent_tokens import NEVER


class OneEnd:
    """A hook on the head of a language model that adds the probabilities of all ends to the first of them.

    Losses and policies both call the head, and so they have the same distribution.

    Args:
        end: the environment's end token.
        others: the model's other ends.
    """

    def __init__(self, end: int, others: Iterable[int]) -> None:
        self.ends = torch.tensor([end, *others])  # [e]

    def __call__(self, head: Any, inputs: Any, scores: Tensor) -> Tensor:
        """Scores [..., V] -> [..., V], in float32, because the sum would lose digits in bfloat16."""
        ends, scores = self.ends.to(scores.device), scores.float()
        sums = torch.full_like(scores[..., ends], NEVER)  # [..., e]
        sums[..., 0] = scores[..., ends].logsumexp(-1)
        return scores.index_copy(-1, ends, sums)

    def taken(self, scores: Tensor, action: Tensor, taken: Tensor) -> Tensor:
        """The scores of actions taken, [K], with all ends merged.

        Args:
            scores: the scores of the ends without the hook, [K, e].
            action: the actions, [K].
            taken: the scores of the actions without the hook, [K].
        """
        ends = self.ends.to(action.device)
        taken = torch.where(action == ends[0], scores.logsumexp(-1), taken)  # [K]
        return taken.masked_fill(torch.isin(action, ends[1:]), NEVER)


def one_end(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> None:
    """Merges the ends that a model's generation config names into the tokenizer's end token, in place.

    Ids that are no special token of the tokenizer are not merged. A second call changes nothing.
    """
    head: Any = model.get_output_embeddings()
    found = next((hook.ends.tolist() for hook in head._forward_hooks.values() if isinstance(hook, OneEnd)), None)
    ends = found or _ends(model, tokenizer)
    if len(ends) == 1:
        return
    if found is None:
        head.register_forward_hook(OneEnd(ends[0], ends[1:]))
    if model.generation_config is not None:  # a ``ValueLM`` around the model has its own
        model.generation_config.eos_token_id = list(dict.fromkeys([*ends, *_named(model)]))


def _ends(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> list[int]:
    """The ids that end a turn, the tokenizer's first."""
    special = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    return [tokenizer.eos_token_id, *sorted({*_named(model)} & special - {tokenizer.eos_token_id})]


def _named(model: PreTrainedModel) -> list[int]:
    """The ids at which ``generate`` stops."""
    named: Any = getattr(model.generation_config, "eos_token_id", None)
    return [] if named is None else named if isinstance(named, list) else [named]
