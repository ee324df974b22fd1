"""Monte-Carlo returns: regresses Q and V on the returns of the logged episodes.

    G_i   = r_i + gamma G_(i+1)                                discounted reward from the i-th action on
    L_Q   = (G - Q(s, a))^2                                    each of the Q heads
    L_V   = 1/2 (G - V(s))^2
    L     = L_Q + L_V + cql_weight L_CQL + bc_weight L_BC      (``value_learning``)

    policy  log pi(a | s) = log pi_beta(a | s) + advantage_weight (Q(s, a) - V(s))       (``ValueLM``)

This baseline beats ILQL on the dialogue tasks of LMRL-Gym (Abdulhai et al. 2023, arXiv:2311.18232). It has SARSA's
fixed point without bootstrapping: no bias from a wrong V, but all of the variance of the returns. A truncated episode
counts as ended, because the rest of its return was not observed.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from agents.agent import Agent
from agents.data.batch import Batch
from agents.value_learning import ValueConfig, return_losses


@dataclass
class MonteCarloConfig(ValueConfig):
    """Settings of every value-based agent. ``target_rate`` has no effect, because nothing bootstraps."""


class MonteCarlo(Agent):
    """Values by regression on observed returns.

    The equations are in ``help("agents.monte_carlo")`` (Abdulhai et al. 2023, arXiv:2311.18232).
    """

    name = "monte_carlo"
    needs_values = True
    config: MonteCarloConfig

    def loss(self, batch: Batch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The losses above."""
        return return_losses(self.config, batch, self.model.values(batch))

    def after_step(self, step: int) -> None:
        """The policy reads the target heads: they are the online ones."""
        super().after_step(step)
        self.model.update_targets(1.0)
