"""The hidden states of whole episodes, for training, with little padding.

Wide models read tokens without padding, if their layers allow it (``agents.models.packing``). For other models,
episodes of similar length are read together.

One pass over B episodes of at most T tokens costs B T tokens, however short most of them are. If the episodes are
sorted by length and split into n parts, each part is padded only to its own longest episode. Every pass also has a
fixed cost, so ``parts`` chooses the number of parts with the lowest cost: one for games of similar length, and three or
four for a batch of 32 dialogues. If a third of such a batch is padding, a step then takes 0.6 to 0.75 of the time
(``tests/perf/test_perf_reading.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributed.fsdp import FSDPModule

from agents.models.packing import can_pack, read_packed

if TYPE_CHECKING:
    from agents.data.batch import Batch

PADDING, PACKED_FROM = 1 / 8, 384
"""share of padding, and width of a model, from which tokens are read without padding"""
MOST_PARTS = 8
# The fixed cost of a pass, in tokens that could be read in the same time. Measured on a processor at the widths 128 and
# 576: Python's overhead equals fewer tokens of a wide model. The rest is the time to read all of its weights.
PRICE, PRICE_FROM, LEAST_PRICE = 200, 128, 32
PRICE_ON_A_CARD = 4096  # not measured; so high that only large batches are split


def read(trunk: Any, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
    """Last hidden states of whole episodes: right-padded tokens [B, T] -> [B, T, d]; no cache is kept.

    Attention is causal, so no token attends to the padding behind it. No mask is needed, and torch can use its fast
    causal attention. The hidden states of padding are arbitrary.

    Args:
        trunk: the transformer without its head.
        input_ids: [B, T].
        attention_mask: [B, T], 1 where a token is real; with it, padding is avoided. None: all rows are read at once.
    """
    embedded = trunk.get_input_embeddings()(input_ids)  # [B, T, d]; once, because its gradient has V rows
    if attention_mask is None:
        return _at_once(trunk, embedded)
    pays = _width(trunk) >= PACKED_FROM and attention_mask.sum() < (1 - PADDING) * attention_mask.numel()
    if pays and can_pack(trunk):
        packed = read_packed(trunk, embedded, attention_mask)  # [B, T, d]
        if packed is not None:
            return packed
    lengths, order = attention_mask.sum(1, dtype=torch.long).sort()  # [B], [B]
    sizes = parts(lengths.cpu().numpy(), _price(trunk) if input_ids.device.type == "cpu" else PRICE_ON_A_CARD)
    # With sharded weights all processes run every pass together, so each must run the same number.
    if len(sizes) == 1 or any(isinstance(module, FSDPModule) for module in trunk.modules()):
        return _at_once(trunk, embedded)
    width = input_ids.shape[1]
    states = []
    for rows, longest in zip(order.split(sizes), lengths[np.cumsum(sizes) - 1].tolist(), strict=True):
        states.append(F.pad(_at_once(trunk, embedded[rows, :longest]), (0, 0, 0, width - longest)))  # [b, T, d]
    return torch.cat(states)[order.argsort()]


def read_batch(trunk: Any, batch: Batch) -> Tensor:
    """The hidden states of a batch, [B * T, d], one episode after another; ``batch.places`` are indices into them."""
    return read(trunk, batch.input_ids, batch.attention_mask).flatten(0, 1)


def parts(lengths: np.ndarray, price: int) -> list[int]:
    """The numbers of episodes to read in each pass, shortest first, at the lowest total cost.

    Args:
        lengths: the lengths of the B episodes, ascending, [B].
        price: the fixed cost of a pass, in tokens.
    """
    cheapest, sizes = np.inf, [len(lengths)]
    for n in range(1, min(MOST_PARTS, len(lengths)) + 1):
        ends = np.arange(1, n + 1) * len(lengths) // n  # [n]
        each = np.diff(ends, prepend=0)  # [n]
        cost = int(each @ lengths[ends - 1]) + n * price
        if cost < cheapest:
            cheapest, sizes = cost, each.tolist()
    return sizes


def _price(trunk: Any) -> int:
    """The fixed cost of a pass through a transformer on a processor, in tokens."""
    width = _width(trunk)
    return PRICE if width <= PRICE_FROM else max(LEAST_PRICE, PRICE * PRICE_FROM**2 // width**2)


def _width(trunk: Any) -> int:
    """The width of the hidden states; 0 for a trunk without a configuration."""
    return getattr(getattr(trunk, "config", None), "hidden_size", 0)


def _at_once(trunk: Any, embedded: Tensor) -> Tensor:
    """One pass. The trunk gets embeddings, not ids, because transformers looks for padding in ids and warns."""
    return trunk(inputs_embeds=embedded, use_cache=False).last_hidden_state
