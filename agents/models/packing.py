"""Reads episodes of different lengths in one pass without padding: their tokens are concatenated to one row.

Only attention puts the tokens back into padded rows, one an episode, and concatenates its outputs again. Attention is a
small part of a token's cost if episodes are much shorter than the model is wide.
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
    """The places of the N tokens in right-padded rows [B, T].

    Attributes:
        place: int64 [N], the places of the tokens in the flattened rows [B * T].
        position: int64 [1, N], the position of each token in its episode.
        calls: how often ``attention`` has used it.
    """

    def __init__(self, attention_mask: Tensor) -> None:
        self.size = attention_mask.shape  # B, T
        self.place = attention_mask.flatten().nonzero().squeeze(1)  # [N]
        self.position = (self.place % self.size[1])[None]  # [1, N]
        self.calls = 0

    def together(self, rows: Tensor) -> Tensor:
        """The tokens without padding: [B, T, ...] -> [1, N, ...]."""
        return rows.flatten(0, 1).index_select(0, self.place)[None]

    def apart(self, tokens: Tensor) -> Tensor:
        """The tokens in padded rows, 0 in the padding: [1, N, ...] -> [B, T, ...]."""
        rows = tokens.new_zeros(self.size[0] * self.size[1], *tokens.shape[2:])  # [B * T, ...]
        return rows.index_copy(0, self.place, tokens[0]).unflatten(0, self.size)


_PACKING: ContextVar[Packing] = ContextVar("packing")


def attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **kwargs: Any
) -> tuple[Tensor, None]:
    """Causal attention within each episode: 3 x [1, heads, N, d] -> [1, N, heads, d]."""
    packing = _PACKING.get()
    packing.calls += 1
    q, k, v = (packing.apart(x.transpose(1, 2)).transpose(1, 2) for x in (query, key, value))  # [B, heads, T, d] each
    out, _ = sdpa_attention_forward(module, q, k, v, None, **kwargs)  # [B, T, heads, d]
    return packing.together(out), None


AttentionInterface.register(NAME, attention)


def can_pack(trunk: Any) -> bool:
    """Whether a transformer can read the tokens of several episodes as one row.

    Its layers must call torch's attention through transformers' ``AttentionInterface`` and attend to the whole episode.
    Layers with gradient checkpointing cannot: they are computed again in the backward pass, when the ``Packing`` is no
    longer set.
    """
    config: Any = getattr(trunk, "config", None)
    if getattr(config, "_attn_implementation", None) != "sdpa" or type(trunk) in _OF_THEIR_OWN:
        return False
    full = {*(getattr(config, "layer_types", None) or ["full_attention"])} == {"full_attention"}
    again = trunk.training and any(getattr(module, "gradient_checkpointing", False) for module in trunk.modules())
    return full and window_of(config) is None and not again


_OF_THEIR_OWN: set[type] = set()
"""classes of transformers whose layers did not call the attention of ``AttentionInterface``"""


def read_packed(trunk: Any, embedded: Tensor, attention_mask: Tensor) -> Tensor | None:
    """Last hidden states [B, T, d] of embedded tokens [B, T, d], 0 in the padding.

    None if some layer did not call ``attention``.
    """
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
