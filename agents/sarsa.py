"""SARSA on logged data: learns the values of the behaviour policy, then improves on it by one step.

    y     = r + gamma V(s')                                    one token ahead, or further: ``backup``
    L_Q   = (y - Q(s, a))^2                                    TD; each of the Q heads
    L_V   = 1/2 (Qbar(s, a) - V(s))^2                          V is the mean of Q over the data's own actions
    L     = L_Q + L_V + cql_weight L_CQL + bc_weight L_BC      (``value_learning``)

    policy  log pi(a | s) = log pi_beta(a | s) + advantage_weight (Qbar(s, a) - V(s))    (``ValueLM``)

The single-step baseline of Snell et al. 2023 (arXiv:2206.11871): ILQL with an expectile of one half. The mean of Q
replaces Q(s', a'). It has the same fixed point and less variance.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from agents.agent import Agent
from agents.data.batch import Batch
from agents.value_learning import Backup, BootstrapConfig, bootstrapped_losses, return_losses


@dataclass
class SARSAConfig(BootstrapConfig):
    """Settings of SARSA, beside those of every value-based agent."""

    backup: Backup = "utterance"
    """how far a target looks ahead before it bootstraps: one "token" (the paper), to the end of the "utterance", or the
    lambda of TD(lambda). All have the same fixed point, and longer ones reach it sooner"""
    monte_carlo_steps: int = 0
    """number of first steps that regress Q and V on the discounted return instead of bootstrapping"""


class SARSA(Agent):
    """One step of policy improvement over the log's own policy.

    The equations are in ``help("agents.sarsa")`` (Snell et al. 2023, arXiv:2206.11871).
    """

    name = "sarsa"
    needs_values = True
    dropout = False
    config: SARSAConfig

    def loss(self, batch: Batch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The losses above."""
        c, x = self.config, self.model.values(batch)
        if self.step < c.monte_carlo_steps:
            return return_losses(c, batch, x)
        return bootstrapped_losses(c, batch, x, tau=0.5)

    def after_step(self, step: int) -> None:
        """Moves the targets; after a Monte-Carlo step they are the online weights."""
        super().after_step(step)
        self.model.update_targets(1.0 if step <= self.config.monte_carlo_steps else self.config.target_rate)
