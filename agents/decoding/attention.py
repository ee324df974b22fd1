"""Fast attention of one new token per row, as in decoding.

On a processor torch's fused kernel takes more than twice as long for a single query as two batched matrix products. The
kernel is made for many queries, and has a fixed cost for each row and head.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward

NAME = "sdpa_or_products"


def attention(
    module: nn.Module,
    query: Tensor,  # [n, heads, Q, d]
    key: Tensor,  # [n, key heads, K, d]
    value: Tensor,  # [n, key heads, K, d]
    attention_mask: Tensor | None,  # [n or 1, 1, Q, K] to be added to the scores
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attention, [n, Q, heads, d]: matrix products for one query on a processor, otherwise torch's fused kernel."""
    if query.shape[2] > 1 or query.device.type != "cpu":
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **kwargs)
    n, heads, _, d = query.shape
    grouped = query.reshape(n * key.shape[1], -1, d)  # [n * key heads, heads per key head, d]
    scores = torch.bmm(grouped, key.flatten(0, 1).transpose(1, 2)).mul_(d**-0.5 if scaling is None else scaling)
    if attention_mask is not None:
        scores.unflatten(0, (n, -1)).add_(attention_mask)  # [n, key heads, heads per key head, K]
    p = scores.softmax(-1, dtype=torch.float32).to(value.dtype)  # [n * key heads, heads per key head, K]
    return torch.bmm(p, value.flatten(0, 1)).view(n, 1, heads, d), None


AttentionInterface.register(NAME, attention)


@contextmanager
def decoding_attention(trunks: Sequence[PreTrainedModel]) -> Iterator[None]:
    """Inside the block, transformers that use torch's fused attention use ``attention`` instead."""
    configs = [trunk.config for trunk in trunks if trunk.config._attn_implementation == "sdpa"]
    for config in configs:
        config._attn_implementation = NAME
    try:
        yield
    finally:
        for config in configs:
            config._attn_implementation = "sdpa"
