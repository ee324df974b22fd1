"""The values that the losses of value-based agents use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor


@dataclass
class Values:
    """Values at the K actions of a batch, one episode after another (``Batch.flat``)."""

    q: list[Tensor]
    """num_q x [K], Q of the action taken"""
    cql: list[Tensor]
    """num_q x [K], -log softmax(Q(s, .) / unit) of the action taken"""
    target_q: Tensor
    """[K], the smaller target head at the action taken; no gradient"""
    v: Tensor
    """[K], V of the state"""
    v_next: Tensor
    """[K], V (or the backed-up value) of the next state, also where the episode ended; no gradient"""
    nll: Tensor
    """[K], -log pi_beta of the action taken, from the language model"""
    unit: float = 1.0
    """the heads' ``value_unit``, in units of reward; Q and V above are in units of reward too"""
    backed_up: Tensor | None = None
    """[K], ``state_value`` of each state, if ``ValueLM.values`` got one; no gradient"""


StateValue = Callable[[Tensor, Tensor], Tensor]
"""The value of S states, from the smaller target head [S, V] and the language model's logits [S, V] -> [S]"""
