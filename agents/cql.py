"""Conservative Q-learning per token: Q-learning with a term that keeps the values of unseen tokens low.

    y     = r + gamma max_a Qbar(s', a)                        one token ahead, or further: ``backup``
    L_Q   = (y - Q(s, a))^2                                    TD; each of the Q heads; Qbar is the smaller target head
    L_V   = 1/2 (Qbar(s, a) - V(s))^2                          V is read in decoding alone
    L_CQL = log sum_a exp Q(s, a) / u - Q(s, a of the data) / u    each Q head; u is ``value_unit``
    L     = L_Q + L_V + cql_weight L_CQL + bc_weight L_BC      (``value_learning``)

    policy  log pi(a | s) = log pi_beta(a | s) + advantage_weight (Qbar(s, a) - V(s))    (``ValueLM``)

The baseline "CQL" of Snell et al. 2023 (arXiv:2206.11871). The conservative term is CQL(H) of Kumar et al. 2020
(arXiv:2006.04779). The maximum runs over the whole vocabulary, while ILQL uses only tokens of the data. Only the
conservative term keeps the agent from unseen tokens, so its weight is larger here. Not kept from the original: it
treats truncated episodes as ended; here their last state has a value.

At the minimum of L, with pi_Q = softmax Q / u and the policy pi_D of the data, a table contains

    Q(s, a) = E[r + gamma max_a' Q(s', a')] - u cql_weight / 2 (pi_Q(a | s) / pi_D(a | s) - 1)

The mean of Q under pi_Q is therefore a lower bound of its own backup. If the data have a single continuation, it is
exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from agents.agent import Agent
from agents.data.batch import Batch
from agents.value_learning import BootstrapConfig, MeanBackup, bootstrapped_losses


@dataclass
class CQLConfig(BootstrapConfig):
    """Settings of every value-based agent, with a larger weight of the conservative term."""

    backup: MeanBackup = "token"
    """how far a target looks ahead before it bootstraps: one "token", to the end of the "utterance", or the lambda of
    TD(lambda), from 0 (one token) to 1 (the end of the episode)"""
    cql_weight: float = 1.0
    """weight of the conservative term"""


def best(q: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """The value of a state by its best token: q [S, V] -> [S]."""
    return q.amax(-1)


class CQL(Agent):
    """Q-learning that is pessimistic about what the data do not show.

    The equations are in ``help("agents.cql")``
    (Kumar et al. 2020, arXiv:2006.04779; Snell et al. 2023, arXiv:2206.11871).
    """

    name = "cql"
    needs_values = True
    dropout = False
    config: CQLConfig

    def loss(self, batch: Batch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The four losses above."""
        x = self.model.values(batch, state_value=best)
        return bootstrapped_losses(self.config, batch, x, tau=0.5)

    def after_step(self, step: int) -> None:
        """Moves the targets."""
        super().after_step(step)
        self.model.update_targets(self.config.target_rate)
