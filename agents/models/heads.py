"""Value heads: the networks that map a hidden state to values.

A head is Linear(d, width) - ReLU - W (...) + b with one row of W for each output. With a large vocabulary nearly all of
its parameters are in W. The four Q heads of Snell et al. 2023 (two and their targets) then have more parameters than
the language model. Its last layer is one of three:

    last layer    W                       reads                      one head   four      to train with AdamW
    "full"        own                     the hidden units           78.43 M    313.7 M   3.14 GB
    "low_rank"    own                     a projection to the rank    4.55 M     18.2 M   0.18 GB
    "tied"        the language model's    a projection to d           2.41 M      9.6 M   0.10 GB

The table has the numbers of parameters for a vocabulary of 50,257, d = 768, width 2 d and rank 64; GPT-2 has 124.4 M.
The last column is the memory of the four heads in float32: 16 bytes for a parameter with its gradient and AdamW's two
averages, 4 for a target's. The peak memory of steps on 256 actions on a processor was 3.3, 0.3 and 0.3 GB
(``tests/perf/test_perf_heads.py`` prints it).

"tied" is Q(s, .) = E f(s) + b, where E [out, d] is the output matrix of the language model. No gradient of the values
reaches E, so values do not change the language model's distribution. Tokens with similar rows of E start with similar
values. E has no target: an online head and its target read the same E, which changes as the language model is trained.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from agents.models.token_scores import taken_and_total


class Full(nn.Linear):
    """A last layer whose W reads the hidden units."""

    def parts(self, units: Tensor, tokens: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """What W reads [..., k], W [out, k], and b [out]."""
        return units, self.weight, self.bias


class LowRank(nn.Module):
    """A last layer whose W reads a projection of the hidden units to ``rank`` numbers."""

    def __init__(self, width: int, out: int, rank: int) -> None:
        super().__init__()
        self.project = nn.Linear(width, rank, bias=False)
        self.weight, self.bias = nn.Linear(rank, out).parameters()

    def parts(self, units: Tensor, tokens: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """What W reads [..., rank], W [out, rank], and b [out]."""
        return self.project(units), self.weight, self.bias


class Tied(nn.Module):
    """A last layer whose W is the language model's output matrix."""

    def __init__(self, width: int, out: int, d: int) -> None:
        super().__init__()
        self.project = nn.Linear(width, d)
        self.bias = nn.Parameter(torch.zeros(out))

    def parts(self, units: Tensor, tokens: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """What W reads [..., d], W [out, d], and b [out]."""
        if tokens is None:
            raise ValueError("Tied heads score tokens by the language model's rows: pass tokens [out, d].")
        return self.project(units), tokens.detach().to(self.bias.dtype), self.bias


class Heads(nn.Module):
    """One head or two on one input; their first layers are one matrix.

    Args:
        n: number of heads, 1 or 2.
        d: width of the input.
        width: hidden units of each head.
        out: outputs of each head.
        last: the kind of the last layer, "full", "low_rank" or "tied".
        rank: rank of a "low_rank" last layer.

    Attributes:
        unit: factor of the networks' outputs. Values of this size are learned as fast as values of size 1 without it.
    """

    def __init__(self, n: int, d: int, width: int, out: int, last: str = "full", rank: int = 64) -> None:
        super().__init__()
        self.unit = 1.0
        self.hidden = nn.Linear(d, n * width)
        make = {
            "full": lambda: Full(width, out),
            "low_rank": lambda: LowRank(width, out, rank),
            "tied": lambda: Tied(width, out, d),
        }[last]
        self.out = nn.ModuleList(make() for _ in range(n))

    def forward(self, x: Tensor, tokens: Tensor | None = None) -> list[Tensor]:
        """[..., d] -> n x [..., out]; "tied" heads need ``tokens`` [out, d], the language model's output matrix."""
        return [self.unit * F.linear(*parts) for parts in self.last_layers(x, tokens)]

    def smallest(self, x: Tensor, tokens: Tensor | None = None) -> Tensor:
        """The minimum over the heads of each output: [..., d] -> [..., out]."""
        q = [F.linear(*parts) for parts in self.last_layers(x, tokens)]  # n x [..., out]
        return self.unit * (q[0] if len(q) == 1 else torch.minimum(*q))

    def smallest_of(self, x: Tensor, some: Tensor, tokens: Tensor | None = None) -> Tensor:
        """The minimum over the heads of the outputs ``some`` [..., m] only: [..., d] -> [..., m]."""
        q = [
            (weight[some] @ read[..., None]).squeeze(-1) + bias[some]  # [..., m]
            for read, weight, bias in self.last_layers(x, tokens)
        ]
        return self.unit * (q[0] if len(q) == 1 else torch.minimum(*q))

    def taken(self, x: Tensor, action: Tensor, tokens: Tensor | None = None) -> list[tuple[Tensor, Tensor]]:
        """Q of ``action`` [K] at x [K, d], and -log softmax(Q / unit) of it: n x ([K], [K]), float32."""
        found = [taken_and_total(*parts, action) for parts in self.last_layers(x, tokens)]  # n x ([K], [K])
        return [(self.unit * q, total - q) for q, total in found]

    def at(self, x: Tensor, action: Tensor, tokens: Tensor | None = None) -> list[Tensor]:
        """The outputs ``action`` [K] of x [K, d] -> n x [K]; the other outputs are not computed."""
        parts = self.last_layers(x, tokens)
        return [self.unit * ((read * weight[action]).sum(-1) + bias[action]) for read, weight, bias in parts]

    def last_layers(self, x: Tensor, tokens: Tensor | None) -> list[tuple[Tensor, Tensor, Tensor]]:
        """What each head's W reads, W, and b, as ``parts`` of its last layer returns them."""
        units = self.hidden(x.to(self.hidden.weight.dtype)).relu().chunk(len(self.out), -1)  # n x [..., width]
        return [layer.parts(u, tokens) for layer, u in zip(self._layers(), units, strict=True)]

    @torch.no_grad()
    def start_at(self, bias: float, exactly: bool) -> None:
        """Makes every output start at ``bias``: exactly, or plus the noise of the initial weights."""
        for layer in self._layers():
            if exactly:
                last = layer.project if isinstance(layer, Tied) else layer
                for parameter in (last.weight, last.bias, layer.bias):
                    parameter.zero_()
            layer.bias.add_(bias / self.unit)

    @torch.no_grad()
    def start_again(self, before: float, bias: float, unit: float) -> None:
        """Changes the start of every output from ``before`` to ``bias`` and sets the unit, before training begins."""
        for layer in self._layers():
            layer.bias.add_(bias / unit - before / self.unit)
        self.unit = unit

    def _layers(self) -> Iterable[Full | LowRank | Tied]:
        return cast("Iterable[Full | LowRank | Tied]", self.out)
