"""Training without dropout, for algorithms that compare one pass of the model with another.

Two passes over the same tokens drop out different units. Before the first update, PPO's probability ratio would then
differ from 1, and DPO's policy from its reference. Targets that a model computes for itself would be noisy.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.dropout import _DropoutNd

_CHANCES = ("drop", "jitter")  # in the names of probabilities that a layer uses in training alone


@contextmanager
def without_dropout(network: nn.Module) -> Iterator[None]:
    """Turns off all dropout of a network inside the block, that of adapters too, also in training mode.

    A layer keeps its dropout probability in a dropout module or as a plain number. Both are 0 inside the block and get
    their former value after it. Configurations, which are saved with the model, do not change.
    """
    found = [(module, name, value) for module in network.modules() for name, value in _probabilities(module)]
    for module, name, _ in found:
        setattr(module, name, 0.0)
    try:
        yield
    finally:
        for module, name, value in found:
            setattr(module, name, value)


def _probabilities(module: nn.Module) -> list[tuple[str, float]]:
    """The names and values of a module's attributes that are probabilities of dropout or jitter."""
    return [
        (name, value)
        for name, value in vars(module).items()
        if type(value) is float and (any(word in name for word in _CHANCES) or isinstance(module, _DropoutNd))
    ]
