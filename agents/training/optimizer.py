"""AdamW in float32, whatever precision the weights are in.

    w32 <- AdamW(w32, g)        w <- bfloat16(w32)         for each weight w in bfloat16 with the gradient g

Forward and backward passes read w. The optimiser updates w32, which it keeps beside its two averages (Micikevicius et
al. 2018, arXiv:1710.03740, section 3.1). A weight takes 16 bytes, as in float32: 2 for itself, 2 for its gradient and
12 in the optimiser. A step needs 2 more. For weights in float32 the result is that of torch's AdamW, bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from agents.models.heads import Heads

if TYPE_CHECKING:
    from agents.training.fit_config import FitConfig

COPY = "float32_copy"
"""name of w32 in the optimiser's state"""


class AdamW(torch.optim.AdamW):
    """torch's AdamW, whose averages and copies of weights are in float32."""

    def step(self, closure: Any = None) -> Any:
        """One step; it deletes the gradients of weights in bfloat16."""
        with self._in_float32() as parameters:
            for parameter in parameters:
                self.state[parameter].pop(COPY, None)  # torch expects its own entries only, and none at first
            return super().step(closure)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Loads the state in float32; torch alone would round it to the precision of the weights."""
        with self._in_float32():
            super().load_state_dict(state_dict)

    @contextmanager
    def _in_float32(self) -> Iterator[list[Tensor]]:
        """Replaces weights in bfloat16, and their gradients, by float32 inside the block; then rounds the weights."""
        parameters = [p for group in self.param_groups for p in group["params"]]
        rounded = {p: p.data for p in parameters if p.dtype is torch.bfloat16}
        for p, weights in rounded.items():
            gradient, p.grad = p.grad, None
            copy = self.state[p].get(COPY)
            p.data = weights.float() if copy is None else copy
            p.grad = None if gradient is None else gradient.float()
        try:
            yield list(rounded)
        finally:
            for p, weights in rounded.items():
                copy = self.state[p].setdefault(COPY, p.data)
                p.grad = None
                p.data = weights.copy_(copy)


def adamw(network: torch.nn.Module, config: FitConfig) -> AdamW:
    """The optimiser of a network. Only matrices have weight decay, and value heads learn at ``head_lr`` times ``lr``.

    Each group of parameters has a factor ``times``, by which the training loop multiplies the learning rate.
    """
    heads = {id(p) for module in network.modules() if isinstance(module, Heads) for p in module.parameters()}
    trained = [p for p in network.parameters() if p.requires_grad]
    groups = [
        {
            "params": [p for p in trained if (p.ndim >= 2) is matrix and (id(p) in heads) is head],
            "weight_decay": config.weight_decay if matrix else 0.0,
            "times": config.head_lr if head else 1.0,
        }
        for head in (False, True)
        for matrix in (True, False)
    ]
    fused = all(p.device.type in ("cpu", "cuda") for p in trained)
    return AdamW([g for g in groups if g["params"]], lr=config.lr, betas=config.betas, fused=fused)
