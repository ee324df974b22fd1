"""PackedBert: BERT's forward pass over texts that are concatenated in one long row, without padding.

Each text has its own positions. Attention is computed inside each text, for all texts of one length at once. So the
matrix products, which take most of the time, contain only real tokens. Their results go to memory that is kept between
layers and calls, because on a CPU fresh memory makes a linear layer about a sixth slower.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import torch

MODEL_TYPES = ("bert", "roberta", "xlm-roberta", "camembert")
"""the model types that have the same parts under the same names as BERT"""


def can_pack(config: Any) -> bool:
    """Whether this module can compute a model with this configuration."""
    return config.model_type in MODEL_TYPES and config.hidden_act == "gelu" and not config.is_decoder


class Workspace(NamedTuple):
    """Memory for the intermediate results of up to T tokens."""

    query: torch.Tensor  # [T, D]
    key: torch.Tensor  # [T, D]
    value: torch.Tensor  # [T, D]
    mixed: torch.Tensor  # [T, D]
    wide: torch.Tensor  # [T, 4 D]

    def first(self, tokens: int) -> Workspace:
        """The first rows, for fewer tokens."""
        return Workspace(*(buffer[:tokens] for buffer in self))


class PackedBert:
    """Computes the last layer's output of a model of one of ``MODEL_TYPES``, on the CPU.

    Args:
        model: a model of transformers; its weights are not copied.
        first_position: number of a text's first position.
    """

    def __init__(self, model: Any, first_position: int = 0) -> None:
        self._embeddings, self._layers = model.embeddings, model.encoder.layer
        self._heads: int = model.config.num_attention_heads
        self._first_position = first_position
        self._workspace = self._room(0)

    def __call__(self, ids: list[list[int]]) -> torch.Tensor:
        """The output [T, D] at every token of texts sorted by length, one text after the other."""
        import torch

        lengths = [len(row) for row in ids]
        tokens = sum(lengths)
        if tokens > len(self._workspace.wide):
            self._workspace = self._room(tokens)
        room = self._workspace.first(tokens)
        groups = [(len(list(same)), length) for length, same in groupby(lengths)]
        words = torch.tensor([i for row in ids for i in row])  # [T]
        positions = torch.tensor([self._first_position + i for length in lengths for i in range(length)])  # [T]
        table = self._embeddings
        hidden = table.word_embeddings(words).add_(table.position_embeddings(positions))  # [T, D]
        hidden = table.LayerNorm(hidden.add_(table.token_type_embeddings.weight[0]))
        for layer in self._layers:
            hidden = self._layer(layer, hidden, groups, room)
        return hidden

    def _layer(self, layer: Any, hidden: torch.Tensor, groups: list[tuple[int, int]], room: Workspace) -> torch.Tensor:
        import torch

        attention = layer.attention.self
        _linear(hidden, attention.query, room.query)
        _linear(hidden, attention.key, room.key)
        _linear(hidden, attention.value, room.value)
        self._attend(groups, room)
        out = layer.attention.output
        hidden = out.LayerNorm(_linear(room.mixed, out.dense, room.query).add_(hidden))  # [T, D]
        torch.ops.aten.gelu_(_linear(hidden, layer.intermediate.dense, room.wide))  # [T, 4 D]
        return layer.output.LayerNorm(_linear(room.wide, layer.output.dense, room.query).add_(hidden))

    def _attend(self, groups: list[tuple[int, int]], room: Workspace) -> None:
        """Computes attention inside each text, from ``query``, ``key`` and ``value`` to ``mixed``."""
        from torch.nn.functional import scaled_dot_product_attention

        start = 0
        for texts, length in groups:
            end = start + texts * length
            query, key, value, mixed = (
                buffer[start:end].view(texts, length, self._heads, -1).transpose(1, 2) for buffer in room[:4]
            )  # [texts, H, n, D / H]
            mixed.copy_(scaled_dot_product_attention(query, key, value))
            start = end

    def _room(self, tokens: int) -> Workspace:
        import torch

        narrow, wide = self._layers[0].output.dense.weight.shape
        kind = self._layers[0].output.dense.weight.dtype
        return Workspace(*(torch.empty(tokens, width, dtype=kind) for width in (narrow, narrow, narrow, narrow, wide)))


def _linear(inputs: torch.Tensor, layer: Any, output: torch.Tensor) -> torch.Tensor:
    """A linear layer [T, in] -> [T, out], written to ``output``."""
    import torch

    return torch.mm(inputs, layer.weight.t(), out=output).add_(layer.bias)
