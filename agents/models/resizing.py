"""Changes the number of a model's token embeddings, and of its position embeddings if it has a table of them."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel


def resize(model: PreTrainedModel, tokens: int, positions: int | None = None) -> None:
    """Gives a model ``tokens`` token embeddings and ``positions`` position embeddings, in place.

    New embeddings are drawn from torch's generator, the others stay. Rotary and relative positions have no table, and
    nothing is done for them.
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
