"""Weights in bfloat16: half the memory of float32, and faster where the processor computes in it.

A weight in bfloat16 has 8 bits, and a step of training is smaller than its last one: trained so, most weights never
move. So whatever is trained has a copy in float32 (``agents.training.optimizer``), adapters and value heads are in
float32 themselves, and what follows others slowly cannot be in bfloat16 at all.
"""

from __future__ import annotations

from typing import Any, get_args

import torch
from torch import nn

from agents.models.heads import Heads
from lang_envs.pretrained import Precision

ADAPTER = "lora_"


def round_weights(model: nn.Module, precision: Precision) -> None:
    """Rounds a language model's weights to a precision, in place, but for value heads and adapters.

    Raises:
        ValueError: no such precision.
    """
    if precision not in get_args(Precision):
        raise ValueError(f"dtype must be 'fp32' or 'bf16', not {precision!r}.")
    if precision == "fp32":
        return
    heads = {id(p) for module in model.modules() if isinstance(module, Heads) for p in module.parameters()}
    for name, parameter in model.named_parameters():  # parameters alone: tables of rotary positions need all digits
        if id(parameter) not in heads and ADAPTER not in name:
            parameter.data = parameter.data.to(torch.bfloat16)


def precision_of(model: nn.Module) -> Precision:
    """What ``round_weights`` was told."""
    return "bf16" if rounded(model) else "fp32"


def rounded(network: nn.Module) -> bool:
    """Whether a network has weights in bfloat16."""
    return any(p.dtype is torch.bfloat16 for p in network.parameters())


def check_targets(model: Any) -> None:
    """Refuses to train targets that follow weights in bfloat16, which move by less than they can hold.

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
