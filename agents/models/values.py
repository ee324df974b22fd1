"""What the losses of value-based agents are made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor


@dataclass
class Values:
    """What the losses are made of, at the K real actions of a batch, one episode after another (``Batch.flat``)."""

    q: list[Tensor]
    """num_q x [K], Q of the action taken"""
    cql: list[Tensor]
    """num_q x [K], -log softmax(Q(s, .) / unit) of the action taken"""
    target_q: Tensor
    """[K], the smaller target head at the action taken; no gradient"""
    v: Tensor
    """[K]"""
    v_next: Tensor
    """[K], V (or what is backed up) of the next state, whether or not the episode ended there; no gradient"""
    nll: Tensor
    """[K], -log pi_beta of the action taken, of the language model"""
    unit: float = 1.0
    """what the heads learn values in, in units of reward; Q and V above are in units of reward"""
    backed_up: Tensor | None = None
    """[K], what ``values`` was told to back up in the place of V, of each state; no gradient"""


StateValue = Callable[[Tensor, Tensor], Tensor]
"""The value of S states, from the smaller target head [S, V] and the language model's logits [S, V] -> [S]"""
