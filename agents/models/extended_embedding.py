"""New rows behind a table of embeddings that stays as it is: what adapters need of a vocabulary that grows.

The table of a pretrained model is a tenth to a quarter of all its weights, and often its head as well. A longer copy
of it would be trained, decayed and saved as a whole for the sake of a few rows. Here the rows are a parameter of their
own, and neither the table nor a head that is tied to it changes.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedModel


class ExtendedEmbedding(nn.Module):
    """Reads rows of a table [V, d], and ids from V on in ``new`` [extra, d], which has the table's precision.

    Args:
        table: it is not copied, and gets no gradient from here on.
        new: the rows behind it, [extra, d]; they are trained.
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
    """Makes the rows from ``tokens`` on new ones, behind a table of so many, and a head has no more scores than that.

    Of a table of positions (GPT-2's) the second half becomes new: see ``agents.data.return_tokens.grow``.
    """
    table: Any = model.get_input_embeddings()
    new = table.weight.detach()[tokens:].clone()  # [extra, d]
    more = model.config.get_text_config().vocab_size
    with torch.random.fork_rng(devices=[]):
        shorter = model.resize_token_embeddings(tokens, mean_resizing=False)
    model.set_input_embeddings(ExtendedEmbedding(shorter, new))
    model.config.get_text_config().vocab_size = more  # that it reads
    if (wpe := getattr(model.base_model, "wpe", None)) is not None:
        old, new = wpe.weight.detach().chunk(2)  # [positions / 2, d] each
        model.base_model.wpe = ExtendedEmbedding(nn.Embedding.from_pretrained(old.clone()), new.clone())


def join(model: PreTrainedModel) -> None:
    """The reverse: all rows are in one table again. A head gets as many, for tokens that nobody says."""
    table: Any = model.get_input_embeddings()
    if not isinstance(table, ExtendedEmbedding):
        return
    rows = table.joined()  # [V + extra, d]
    model.set_input_embeddings(table.table)
    with torch.random.fork_rng(devices=[]):
        model.resize_token_embeddings(len(rows), mean_resizing=False).weight.data.copy_(rows)
    if (wpe := getattr(model.base_model, "wpe", None)) is not None:
        model.base_model.wpe = nn.Embedding.from_pretrained(wpe.joined())
