"""Training without dropout, for algorithms that compare one pass of the model with another.

Two passes over the same tokens drop out different units. PPO would then begin outside its clip and DPO away from its
reference, before either has learned anything, and targets that a model makes for itself would be noise to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.dropout import _DropoutNd

_CHANCES = ("drop", "jitter")  # in the names of what a layer does by chance, and in training alone


@contextmanager
def without_dropout(network: nn.Module) -> Iterator[None]:
    """Has nothing drop out of a network inside the block, in training mode too; adapters included.

    Layers keep their probabilities as modules or as plain numbers. Both are 0 inside the block and as before after it;
    configurations, which are what is saved, stay as they are.
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
    """The attributes of a module that say how much it leaves to chance, with their values."""
    return [
        (name, value)
        for name, value in vars(module).items()
        if type(value) is float and (any(word in name for word in _CHANCES) or isinstance(module, _DropoutNd))
    ]
