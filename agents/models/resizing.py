"""How many tokens a model has, and how many positions where it has a table of them."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel


def resize(model: PreTrainedModel, tokens: int, positions: int | None = None) -> None:
    """Gives a model so many tokens and positions; new ones are drawn from torch's generator, the others stay.

    Only a table of positions (GPT-2's) has a size; rotary and relative positions are left alone.
    """
    if model.get_input_embeddings().num_embeddings != tokens:
        model.resize_token_embeddings(tokens, mean_resizing=False)
    table = getattr(model.base_model, "wpe", None)
    if table is not None and positions is not None and table.num_embeddings != positions:
        _resize_positions(model, table, positions)


def _resize_positions(model: Any, table: nn.Embedding, positions: int) -> None:
    longer = nn.Embedding(positions, table.embedding_dim, device=table.weight.device)
    nn.init.normal_(longer.weight, std=model.config.initializer_range)
    with torch.no_grad():
        longer.weight[: table.num_embeddings] = table.weight[:positions]
    model.base_model.wpe = longer.to(table.weight.dtype)
    model.config.max_position_embeddings = positions
