"""ILQL by advantage-weighted regression: the same values, which the language model itself learns to follow.

    A     = Qbar(s, a) - V(s)                                  Qbar is the smaller target head
    w     = min(exp(A / awr_temperature), max_weight)          carries no gradient
    L_AWR = -w log pi(a | s)                                   in the place of L_BC
    L     = L_Q + L_V + cql_weight L_CQL + bc_weight L_AWR     L_Q and L_V are those of ILQL (``value_learning``)

    policy  the language model pi, as it is

The baseline "ILQL (AWR)" of Snell et al. 2023 (arXiv:2206.11871). Its beta in training is 1 / awr_temperature; the
paper tried 4, 8 and 16. The beta of decoding (``advantage_weight``) is another quantity. It is 0 here, so the policy is
an ordinary language model without extra cost. It can be raised, and the values then count twice. The weights are those
of Peng et al. 2019 (arXiv:1910.00177) with their bound, which the original leaves off by default.

Metrics beside those of ILQL: ``loss/bc`` is L_AWR; ``policy/weight`` the mean of w; ``policy/clipped`` the fraction of
tokens that reach ``max_weight``. If it is far from 0, raise the temperature or rescale the rewards.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from agents.agent import Agent
from agents.data.batch import Batch
from agents.value_learning import Backup, BootstrapConfig, bootstrapped_losses


@dataclass
class AWRConfig(BootstrapConfig):
    """Settings of AWR, beside those of every value-based agent."""

    backup: Backup = "implicit"
    """how far a target looks ahead before it bootstraps: to the end of the utterance towards the best continuation
    ("implicit") or by the mean ("utterance"), one "token" (the paper), or the lambda of TD(lambda)"""
    tau: float = 0.7
    """expectile of the value: 0.5 is the mean over the data, towards 1 the best that the data show"""
    awr_temperature: float = 0.25
    """advantage that makes a token e times as likely, in units of reward; 1 / beta of the paper's training"""
    max_weight: float = 20.0
    """largest weight of a token; a token of advantage 0 has weight 1"""


class AWR(Agent):
    """ILQL's values, learned by the language model itself.

    The equations are in ``help("agents.awr")`` (Peng et al. 2019, arXiv:1910.00177; Snell et al. 2023,
    arXiv:2206.11871).
    """

    name = "awr"
    needs_values = True
    dropout = False
    model_settings: ClassVar[dict[str, Any]] = {"advantage_weight": 0.0}
    config: AWRConfig

    def loss(self, batch: Batch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The losses above."""
        c, x = self.config, self.model.values(batch)
        with torch.no_grad():
            w = ((x.target_q - x.v) / c.awr_temperature).exp().clamp(max=c.max_weight)  # [K]
        loss, parts = bootstrapped_losses(c, batch, x, tau=c.tau, weight=w)
        return loss, parts | {
            "policy/weight": batch.mean(w),
            "policy/clipped": batch.mean((w == c.max_weight).float()),
        }

    def after_step(self, step: int) -> None:
        """Moves the targets."""
        super().after_step(step)
        self.model.update_targets(self.config.target_rate)
