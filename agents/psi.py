"""Psi-learning: reward, at a price for every departure from a language model of the data (Jaques et al. 2017).

    Psi(s, a) = log p(a | s) + Q(s, a)                         p is the prior, the language model itself
    y     = r / kl_weight + log p(a | s) + gamma log sum_a' exp Psibar(s', a')    or further ahead: ``backup``
    L_psi = Huber(y - Psi(s, a))                               each of the Q heads; Qbar is the smaller target head
    L_V   = 1/2 (log sum_a exp Psibar(s, a) - V(s))^2          the soft value
    L     = L_psi + L_V + cql_weight L_CQL + bc_weight L_BC    (``value_learning``)

    policy  pi(a | s) = softmax Psi, which is  log pi = log p + Q - V    (``ValueLM`` with advantage_weight 1)

It maximises sum gamma^t (r - kl_weight KL(pi || p)) (arXiv:1611.02796; for dialogue, arXiv:1907.00456). Q and V are in
nats, that is in units of kl_weight, and advantage_weight 1 is no free choice here: other values sharpen or flatten.

How the prior is had: p is the language model of the agent, trained alongside by L_BC, and no gradient of L_psi reaches
it through log p. To keep a prior that was trained before, start from it and set bc_weight to 0 and trunks to
"separate".

What differs from the original: Psi is held as its difference Q to the prior, which makes log p(a | s) cancel in y -
Psi(s, a): the loss is Huber(r / kl_weight + gamma log sum_a' exp Psibar(s', a') - Q(s, a)). Heads that start about 0
start as the prior (exactly, with ``zero_init``), which the original gets by copying the prior's weights, and tokens
the prior finds unlikely start unlikely. (Held like this, psi-learning is the G-learning of the same paper.) A
truncated episode's last state counts, where the ILQL authors' version takes it for the end.

Metrics: ``loss/q`` is the Huber loss of Q here; ``value/q`` is the mean of the soft value, ``value/v`` of what V makes
of it; both in nats.
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
    """What psi-learning changes in the settings of every value-based agent."""

    kl_weight: float = 0.25
    """the paper's c: what a nat of divergence from the prior costs, in units of reward"""
    bias_init: float | None = 0.0
    """the constant the heads start from; at 0 the agent starts as the prior"""
    value_unit: float | None = 1.0
    """what values are learned in; they are in nats here, which have no need of another unit"""
    backup: MeanBackup = "token"
    """how far a target looks before it bootstraps: one "token", to the end of the "utterance", or the lambda of
    TD(lambda), from 0 (one token) to 1 (to the end of the episode)"""
    cql_weight: float = 0.0
    """weight of a conservative term on Q; the prior is conservative already"""


def soft_value(q: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """The log of sum_a p(a | s) exp Q(s, a): q [S, V], logits of p [S, V] -> [S]."""
    return (logits.log_softmax(-1) + q).logsumexp(-1)


class Psi(Agent):
    """KL-regularised Q-learning around the language model of the data.

    The equations stand in ``help("agents.psi")``
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
