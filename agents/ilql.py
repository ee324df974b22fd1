"""Implicit Language Q-Learning, per token (Snell et al. 2023, arXiv:2206.11871, section 4).

    y     = r + gamma V(s')                                    one token ahead (the paper), or further: ``backup``
    L_Q   = (y - Q(s, a))^2                                    TD; each of the Q heads
    L_V   = |tau - 1(Qbar(s, a) < V(s))| (Qbar(s, a) - V(s))^2  expectile; Qbar is the smaller target head
    L_CQL = -log softmax(Q(s, .))[a]                           keeps tokens the data do not take low; each Q head
    L_BC  = -log pi_beta(a | s)                                the language model the values perturb
    L     = L_Q + L_V + cql_weight L_CQL + bc_weight L_BC      (``value_learning``)

    policy  log pi(a | s) = log pi_beta(a | s) + advantage_weight (Qbar(s, a) - V(s))    (``ValueLM``)

Kept from the paper's code: losses are summed over the Q heads; squares have no factor 1/2; environment tokens are
skipped in the backup (s' is the state of the agent's next decision); targets follow by Polyak averaging after every
optimiser step. Not kept: padded transitions in the loss, and truncated episodes treated as ended. Added: the "implicit"
backup inside an utterance, which is the default (``value_learning`` has its equations), and ``monte_carlo_steps``, an
optional start on Monte-Carlo returns, off by default.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from agents.agent import Agent
from agents.data.batch import Batch
from agents.value_learning import Backup, BootstrapConfig, bootstrapped_losses, return_losses


@dataclass
class ILQLConfig(BootstrapConfig):
    """Settings of ILQL, beside those of every value-based agent."""

    backup: Backup = "implicit"
    """how far a target looks ahead before it bootstraps: to the end of the utterance towards the best continuation
    ("implicit") or by the mean ("utterance"), one "token" (the paper), or the lambda of TD(lambda)"""
    tau: float = 0.7
    """expectile of the value: 0.5 is the mean over the data (SARSA), towards 1 the best that the data show"""
    monte_carlo_steps: int = 0
    """number of first steps that regress Q and V on the discounted return instead of bootstrapping (not in the
    paper)"""


class ILQL(Agent):
    """Implicit Language Q-Learning: finds the best that the data support, without values of tokens outside the data.

    The equations are in ``help("agents.ilql")`` (Snell et al. 2023, arXiv:2206.11871).
    """

    name = "ilql"
    needs_values = True
    dropout = False
    config: ILQLConfig

    def loss(self, batch: Batch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The four losses above."""
        c, x = self.config, self.model.values(batch)
        if self.step < c.monte_carlo_steps:
            return return_losses(c, batch, x)
        return bootstrapped_losses(c, batch, x, tau=c.tau)

    def after_step(self, step: int) -> None:
        """Moves the targets; after a Monte-Carlo step they are the online weights."""
        super().after_step(step)
        self.model.update_targets(1.0 if step <= self.config.monte_carlo_steps else self.config.target_rate)
