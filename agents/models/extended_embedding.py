"""Embeddings of added tokens as a parameter beside a frozen table, for models with adapters.

The table of a pretrained model is a tenth to a quarter of all its weights, and often its head as well. A longer copy
of it would be trained, decayed and saved as a whole because of a few new rows. Here the new rows are a parameter of
their own, and neither the table nor a head that is tied to it changes.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedModel


class ExtendedEmbedding(nn.Module):
    """An embedding whose ids below V read a frozen table [V, d], and whose ids from V on read ``new`` [extra, d].

    Args:
        table: the table; it is frozen and not copied.
        new: the embeddings of the added tokens, [extra, d], in the table's precision; they are trained.
    """

    def __init__(self, table: nn.Embedding, new: Tensor) -> None:
        super().__init__()
        self.table, self.new = table.requires_grad_(False), nn.Parameter(new)

    @property
    def num_embeddings(self) -> int:
        """V + extra."""
        return self.table.num_embeddings + len(self.new)

    def forward(self, ids: Tensor) -> Tensor:
        """Ids [...] -> [..., d]."""
        first = self.table.num_embeddings
        old = self.table(ids.clamp(max=first - 1))  # [..., d]
        new = F.embedding((ids - first).clamp(min=0), self.new)  # [..., d]
        return torch.where((ids < first)[..., None], old, new)

    @torch.no_grad()
    def joined(self) -> Tensor:
        """All rows in one table, [V + extra, d]."""
        return torch.cat([self.table.weight, self.new])


def split(model: PreTrainedModel, tokens: int) -> None:
    """Splits a model's embeddings: the table keeps ``tokens`` rows, and the rows behind them become ``new``.

    The head then scores the first ``tokens`` ids only. The second half of a table of positions (GPT-2's) becomes new as
    well: see ``agents.data.return_tokens.grow``.
    """
    table: Any = model.get_input_embeddings()
    new = table.weight.detach()[tokens:].clone()  # [extra, d]
    more = model.config.get_text_config().vocab_size
    with torch.random.fork_rng(devices=[]):
        shorter = model.resize_token_embeddings(tokens, mean_resizing=False)
    model.set_input_embeddings(ExtendedEmbedding(shorter, new))
    model.config.get_text_config().vocab_size = more  # the number of ids that the model reads
    if (wpe := getattr(model.base_model, "wpe", None)) is not None:
        old, new = wpe.weight.detach().chunk(2)  # [positions / 2, d] each
        model.base_model.wpe = ExtendedEmbedding(nn.Embedding.from_pretrained(old.clone()), new.clone())


def join(model: PreTrainedModel) -> None:
    """Reverses ``split``: all rows are in one table again, and the head scores the added tokens too."""
    table: Any = model.get_input_embeddings()
    if not isinstance(table, ExtendedEmbedding):
        return
    rows = table.joined()  # [V + extra, d]
    model.set_input_embeddings(table.table)
    with torch.random.fork_rng(devices=[]):
        model.resize_token_embeddings(len(rows), mean_resizing=False).weight.data.copy_(rows)
    if (wpe := getattr(model.base_model, "wpe", None)) is not None:
        model.base_model.wpe = nn.Embedding.from_pretrained(wpe.joined())
