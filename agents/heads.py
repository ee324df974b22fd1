"""The networks that turn a hidden state into values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import cast

import torch
from torch import Tensor, nn


class Heads(nn.Module):
    """``n`` networks Linear(d, width) - ReLU - Linear(width, out) on one input, their first layers as one matrix."""

    def __init__(self, n: int, d: int, width: int, out: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(d, n * width)
        self.out = nn.ModuleList(nn.Linear(width, out) for _ in range(n))

    def forward(self, x: Tensor) -> list[Tensor]:
        """[..., d] -> n x [..., out]."""
        return [layer(units) for layer, units in self._last_layers(x)]

    def at(self, x: Tensor, action: Tensor) -> list[Tensor]:
        """The outputs ``action`` [K] of x [K, d] -> n x [K], without the cost of the others."""
        return [(u * layer.weight[action]).sum(-1) + layer.bias[action] for layer, u in self._last_layers(x)]

    def _last_layers(self, x: Tensor) -> Iterator[tuple[nn.Linear, Tensor]]:
        """Each network's last layer and what it reads, [..., width]."""
        units = self.hidden(x).relu().chunk(len(self.out), -1)  # n x [..., width]
        return zip(cast(Iterable[nn.Linear], self.out), units, strict=True)

    @torch.no_grad()
    def start_at(self, bias: float, exactly: bool) -> None:
        """Every output starts at ``bias``: exactly, or give or take the noise of the initial weights."""
        for layer in cast(Iterable[nn.Linear], self.out):
            if exactly:
                layer.weight.zero_()
                layer.bias.zero_()
            layer.bias.add_(bias)
