"""``RatioPolicy``: the distribution of a start model, changed by the ratio of a trained model's probabilities to it.

Q(s, a) = min(1, p(a | s) / pi0(a | s))                   0 where pi0(a | s) < support, and of the dummy token
log pi(a | s) = log pi0(a | s) + q_weight Q(s, a) + const
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from agents.decoding.policy import LMPolicy
from agents.models.token_scores import all_scores, in_parts


@dataclass(frozen=True)
class Ratio:
    """Q of the first equation above.

    Args:
        model: p, a causal language model.
        start: pi0, a causal language model with the same vocabulary.
        support: smallest probability under pi0 at which a token has a value other than 0.
        dummy: the dummy token, whose value is 0.
    """

    model: Any
    start: Any
    support: float
    dummy: int

    def __call__(self, states: Tensor, start_states: Tensor) -> tuple[Tensor, Tensor]:
        """Q and log pi0 of every token, [K, V] each, from last hidden states of the two models, [K, d] each."""
        logp, logp0 = (
            all_scores(model.get_output_embeddings(), x).float().log_softmax(-1)  # [K, V] each
            for model, x in ((self.model, states), (self.start, start_states))
        )
        q = (logp - logp0).clamp(max=0).exp() * (logp0 >= math.log(self.support))  # [K, V]
        q[..., self.dummy] = 0
        return q, logp0

    def best(self, states: Tensor, start_states: Tensor) -> Tensor:
        """max_a Q(s, a) of K states, [K], computed for a few states at a time."""
        tokens = self.model.config.get_text_config().vocab_size
        return in_parts(lambda *some: self(*some)[0].amax(-1), tokens, states, start_states)


class RatioPolicy(LMPolicy):
    """Samples from pi of the second equation above; the other arguments are those of ``LMPolicy``."""

    def __init__(self, ratio: Ratio, q_weight: float, *args: Any, **decoding: Any) -> None:
        self.ratio, self.q_weight = ratio, q_weight
        super().__init__(ratio.model, *args, **decoding)

    def _trunks(self) -> list[Any]:
        return [self.ratio.model.base_model, self.ratio.start.base_model]

    def _scores(self, tokens: NDArray[np.int32], at: NDArray[np.int64]) -> Tensor:
        q, logp0 = self.ratio(*(state[:, -1] for state in self._cache.forward(tokens, at)))  # [n, V] each
        return (logp0 + self.q_weight * q)[:, : self.vocabulary]
