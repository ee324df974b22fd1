"""Weights in bfloat16: half the memory of float32, and faster where the processor computes in it.

bfloat16 has 8 significant bits, and an optimiser step is usually smaller than the last of them: most weights would not
change. Therefore the optimiser keeps a float32 copy of every trained weight (``agents.training.optimizer``). Adapters
and value heads are in float32. Target networks that follow a transformer slowly cannot be in bfloat16.
"""

from __future__ import annotations

from typing import Any, get_args

import torch
from torch import nn

from agents.models.heads import Heads
from lang_envs.pretrained import Precision

ADAPTER = "lora_"


def round_weights(model: nn.Module, precision: Precision) -> None:
    """Rounds a language model's weights to a precision, in place, except those of value heads and adapters.

    Raises:
        ValueError: there is no such precision.
    """
    if precision not in get_args(Precision):
        raise ValueError(f"dtype must be 'fp32' or 'bf16', not {precision!r}.")
    if precision == "fp32":
        return
    heads = {id(p) for module in model.modules() if isinstance(module, Heads) for p in module.parameters()}
    for name, parameter in model.named_parameters():  # no buffers: tables of rotary positions need float32
        if id(parameter) not in heads and ADAPTER not in name:
            parameter.data = parameter.data.to(torch.bfloat16)


def precision_of(model: nn.Module) -> Precision:
    """The precision of a model's weights, as ``round_weights`` set it."""
    return "bf16" if rounded(model) else "fp32"


def rounded(network: nn.Module) -> bool:
    """Whether a network has weights in bfloat16."""
    return any(p.dtype is torch.bfloat16 for p in network.parameters())


def check_targets(model: Any) -> None:
    """Checks that no target network is in bfloat16: its steps would be smaller than bfloat16 can hold.

    Raises:
        ValueError: the model has such targets.
    """
    followers = model.followers() if hasattr(model, "followers") else []
    for target, source in followers:
        pairs = zip(target.parameters(), source.parameters(), strict=True)
        if any(a.dtype is torch.bfloat16 and b.requires_grad for a, b in pairs):
            raise ValueError(
                "Targets that follow a transformer move by less than bfloat16 can hold: set trunks='shared', train "
                "adapters, or load the model with dtype='fp32'."
            )
