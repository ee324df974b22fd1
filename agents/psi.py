"""Psi-learning: maximises reward minus a price for departing from a language model of the data (Jaques et al. 2017).

    Psi(s, a) = log p(a | s) + Q(s, a)                         p is the prior, the language model itself
    y     = r / kl_weight + log p(a | s) + gamma log sum_a' exp Psibar(s', a')    or further ahead: ``backup``
    L_psi = Huber(y - Psi(s, a))                               each of the Q heads; Qbar is the smaller target head
    L_V   = 1/2 (log sum_a exp Psibar(s, a) - V(s))^2          the soft value
    L     = L_psi + L_V + cql_weight L_CQL + bc_weight L_BC    (``value_learning``)

    policy  pi(a | s) = softmax Psi, which is  log pi = log p + Q - V    (``ValueLM`` with advantage_weight 1)

It maximises sum gamma^t (r - kl_weight KL(pi || p)) (arXiv:1611.02796; for dialogue, arXiv:1907.00456). Q and V are in
nats, that is in units of kl_weight. advantage_weight is therefore not free: 1 is the method, and other values sharpen
or flatten the policy.

The prior p is the language model of the agent. L_BC trains it alongside, and no gradient of L_psi reaches it through
log p. To use a prior that was trained before, start from it and set bc_weight to 0 and trunks to "separate".

Different from the original: Psi is stored as its difference Q to the prior, so log p(a | s) cancels in y - Psi(s, a).
The loss is Huber(r / kl_weight + gamma log sum_a' exp Psibar(s', a') - Q(s, a)). Heads that start near 0 start as the
prior (exactly, with ``zero_init``), and tokens that the prior finds unlikely start unlikely. The original copies the
prior's weights instead. (In this form psi-learning is the G-learning of the same paper.) The last state of a truncated
episode has a value, while the ILQL authors' version treats it as the end.

Metrics: ``loss/q`` is the Huber loss of Q; ``value/q`` the mean of the soft value; ``value/v`` the mean of V, which is
regressed on it. Both means are in nats.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch.nn import functional as F

from agents.agent import Agent
from agents.data.batch import Batch
from agents.value_learning import BootstrapConfig, MeanBackup, targets, value_losses


@dataclass
class PsiConfig(BootstrapConfig):
    """Settings of psi-learning that differ from those of every value-based agent."""

    kl_weight: float = 0.25
    """the paper's c: price of one nat of divergence from the prior, in units of reward"""
    bias_init: float | None = 0.0
    """initial constant of the heads; at 0 the agent starts as the prior"""
    value_unit: float | None = 1.0
    """unit in which values are learned; 1, because they are in nats here"""
    backup: MeanBackup = "token"
    """how far a target looks ahead before it bootstraps: one "token", to the end of the "utterance", or the lambda of
    TD(lambda), from 0 (one token) to 1 (the end of the episode)"""
    cql_weight: float = 0.0
    """weight of a conservative term on Q; 0, because the prior is already conservative"""


def soft_value(q: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """The log of sum_a p(a | s) exp Q(s, a): q [S, V], logits of p [S, V] -> [S]."""
    return (logits.log_softmax(-1) + q).logsumexp(-1)


class Psi(Agent):
    """KL-regularised Q-learning around the language model of the data.

    The equations are in ``help("agents.psi")``
    (Jaques et al. 2017, arXiv:1611.02796; Snell et al. 2023, arXiv:2206.11871).
    """

    name = "psi"
    needs_values = True
    dropout = False
    config: PsiConfig

    def loss(self, batch: Batch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The losses above."""
        c, x = self.config, self.model.values(batch, state_value=soft_value)
        y = targets(c, batch, batch.reward / c.kl_weight, x.v_next)  # [K] without its log p
        return value_losses(
            c, batch, x, target=y, q=x.backed_up, tau=0.5, error=partial(F.huber_loss, reduction="none")
        )

    def after_step(self, step: int) -> None:
        """Moves the targets."""
        super().after_step(step)
        self.model.update_targets(self.config.target_rate)
