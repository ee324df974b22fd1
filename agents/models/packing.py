"""Episodes of different lengths in one pass without padding: every layer but attention reads their tokens as one row.

Attention puts the tokens back into rows, each with its own episode, and takes them out again: it is a small part of
what a token costs where episodes are much shorter than the model is wide.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

from torch import Tensor, nn
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from agents.decoding.cache import window_of

NAME = "sdpa_of_episodes"


class Packing:
    """Which of the places of right-padded rows [B, T] hold a token.

    Attributes:
        place: int64 [N], the places of the tokens among the B * T.
        position: int64 [1, N], where each is in its episode.
        calls: how often attention has used it.
    """

    def __init__(self, attention_mask: Tensor) -> None:
        self.size = attention_mask.shape  # B, T
        self.place = attention_mask.flatten().nonzero().squeeze(1)  # [N]
        self.position = (self.place % self.size[1])[None]  # [1, N]
        self.calls = 0

    def together(self, rows: Tensor) -> Tensor:
        """The tokens alone: [B, T, ...] -> [1, N, ...]."""
        return rows.flatten(0, 1).index_select(0, self.place)[None]

    def apart(self, tokens: Tensor) -> Tensor:
        """The way back, 0 in the padding: [1, N, ...] -> [B, T, ...]."""
        rows = tokens.new_zeros(self.size[0] * self.size[1], *tokens.shape[2:])  # [B * T, ...]
        return rows.index_copy(0, self.place, tokens[0]).unflatten(0, self.size)


_PACKING: ContextVar[Packing] = ContextVar("packing")


def attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **kwargs: Any
) -> tuple[Tensor, None]:
    """Causal attention of each episode to itself: 3 x [1, heads, N, d] -> [1, N, heads, d]."""
    packing = _PACKING.get()
    packing.calls += 1
    q, k, v = (packing.apart(x.transpose(1, 2)).transpose(1, 2) for x in (query, key, value))  # [B, heads, T, d] each
    out, _ = sdpa_attention_forward(module, q, k, v, None, **kwargs)  # [B, T, heads, d]
    return packing.together(out), None


AttentionInterface.register(NAME, attention)


def can_pack(trunk: Any) -> bool:
    """Whether the layers of a transformer take tokens of several episodes in one row.

    They must use torch's attention by the library's interface, and look at all of an episode. Layers that are computed
    again for the gradient are not packed: by then the pass is over.
    """
    config: Any = getattr(trunk, "config", None)
    if getattr(config, "_attn_implementation", None) != "sdpa" or type(trunk) in _OF_THEIR_OWN:
        return False
    full = {*(getattr(config, "layer_types", None) or ["full_attention"])} == {"full_attention"}
    again = trunk.training and any(getattr(module, "gradient_checkpointing", False) for module in trunk.modules())
    return full and window_of(config) is None and not again


_OF_THEIR_OWN: set[type] = set()
"""transformers whose attention was seen not to go by the library's interface"""


def read_packed(trunk: Any, embedded: Tensor, attention_mask: Tensor) -> Tensor | None:
    """Last hidden states [B, T, d] of embedded tokens [B, T, d], 0 in the padding; None where a layer did not pack."""
    packing, config = Packing(attention_mask), trunk.config
    token = _PACKING.set(packing)
    config._attn_implementation = NAME
    try:
        states = trunk(
            inputs_embeds=packing.together(embedded), position_ids=packing.position, use_cache=False
        ).last_hidden_state  # [1, N, d]
    finally:
        config._attn_implementation = "sdpa"
        _PACKING.reset(token)
    if packing.calls != config.num_hidden_layers:
        _OF_THEIR_OWN.add(type(trunk))
        return None
    return packing.apart(states)
