"""Whole episodes through a transformer, for training, with as little padding as can be.

Wide models read tokens without any, where they allow it (``agents.models.packing``). For others, episodes of similar
length are read together.

One pass over B episodes of at most T tokens costs B T tokens, however short most of them are. Of n parts, sorted by
length, each costs only as much as its own longest. A pass has a price too, whatever it reads, so there are as many
parts as pay: one for games of much the same length, and three or four for a batch of 32 dialogues, where a step takes
0.6 to 0.75 of the time once a third of it was padding (``tests/perf/test_perf_reading.py``).
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
"""share of padding, and width of a model, from which it pays to read tokens without any"""
MOST_PARTS = 8
# What a pass costs, in tokens that could be read instead. Measured on a processor at the widths 128 and 576: what
# Python takes for a pass are fewer tokens of a wide model, and what is left is going through all of its weights.
PRICE, PRICE_FROM, LEAST_PRICE = 200, 128, 32
PRICE_ON_A_CARD = 4096  # a cautious guess, which splits large batches alone


def read(trunk: Any, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
    """Last hidden states of whole episodes: right-padded tokens [B, T] -> [B, T, d]; for training, no past is kept.

    Attention is causal, so no real token sees the padding behind it and none needs a mask: plain causal attention is
    the fast kind. What stands in the padding itself is of no use to anyone.

    Args:
        trunk: the transformer without its head.
        input_ids: [B, T].
        attention_mask: [B, T], 1 where a token is real: lets episodes of similar length be read together; None: all
            are read at once.
    """
    embedded = trunk.get_input_embeddings()(input_ids)  # [B, T, d] once: its gradient is as large as the vocabulary
    if attention_mask is None:
        return _at_once(trunk, embedded)
    pays = _width(trunk) >= PACKED_FROM and attention_mask.sum() < (1 - PADDING) * attention_mask.numel()
    if pays and can_pack(trunk):
        packed = read_packed(trunk, embedded, attention_mask)  # [B, T, d]
        if packed is not None:
            return packed
    lengths, order = attention_mask.sum(1, dtype=torch.long).sort()  # [B], [B]
    sizes = parts(lengths.cpu().numpy(), _price(trunk) if input_ids.device.type == "cpu" else PRICE_ON_A_CARD)
    # Processes that share the weights run every pass together, and must agree on how many there are.
    if len(sizes) == 1 or any(isinstance(module, FSDPModule) for module in trunk.modules()):
        return _at_once(trunk, embedded)
    width = input_ids.shape[1]
    states = []
    for rows, longest in zip(order.split(sizes), lengths[np.cumsum(sizes) - 1].tolist(), strict=True):
        states.append(F.pad(_at_once(trunk, embedded[rows, :longest]), (0, 0, 0, width - longest)))  # [b, T, d]
    return torch.cat(states)[order.argsort()]


def read_batch(trunk: Any, batch: Batch) -> Tensor:
    """The same of a batch, one episode after another, [B * T, d]; ``batch.places`` says where in it a state is."""
    return read(trunk, batch.input_ids, batch.attention_mask).flatten(0, 1)


def parts(lengths: np.ndarray, price: int) -> list[int]:
    """How many of B episodes to read in each pass, by their lengths, shortest first: what costs the fewest tokens."""
    cheapest, sizes = np.inf, [len(lengths)]
    for n in range(1, min(MOST_PARTS, len(lengths)) + 1):
        ends = np.arange(1, n + 1) * len(lengths) // n  # [n]
        each = np.diff(ends, prepend=0)  # [n]
        cost = int(each @ lengths[ends - 1]) + n * price
        if cost < cheapest:
            cheapest, sizes = cost, each.tolist()
    return sizes


def _price(trunk: Any) -> int:
    """What a pass through a transformer costs on a processor, in tokens."""
    width = _width(trunk)
    return PRICE if width <= PRICE_FROM else max(LEAST_PRICE, PRICE * PRICE_FROM**2 // width**2)


def _width(trunk: Any) -> int:
    """Of the hidden states; what has no configuration counts as narrow."""
    return getattr(getattr(trunk, "config", None), "hidden_size", 0)


def _at_once(trunk: Any, embedded: Tensor) -> Tensor:
    """One pass: the trunk gets embeddings, not ids, because the library looks for padding in ids and warns."""
    return trunk(inputs_embeds=embedded, use_cache=False).last_hidden_state
