"""KTO: what is desirable becomes likelier than at the start and what is not less likely, without pairs.

    h(y) = sum_i [log pi(a_i | s_i) - log pi0(a_i | s_i)]     pi0 is the start policy
    z0   = max(0, mean over i of h(y_j after x_i))            KL of pi and pi0; no gradient
    v(y) = w_D sigmoid(beta (h(y) - z0))                      if R(y) is at least ``threshold``: desirable
         = w_U sigmoid(beta (z0 - h(y)))                      otherwise
    L    = w_y - v(y)                                         one term per episode

(Ethayarajh et al. 2024, arXiv:2402.01306.) The paper has people say what is desirable; here returns do, against a
threshold or the mean of the log, live of each batch. In z0 each opening x_i is followed by what came after another one
in the batch, that of its neighbour: rows 2 i and 2 i + 1 change places. It is one number of the whole batch, whatever
``accumulate`` is, and of all processes. What is then too long for the model to read is cut.

A weight that is None makes both sides weigh alike: w_D n_D = w_U n_U among the n_D desirable and n_U other episodes
that are compared, where the paper keeps that ratio from 1 to 4/3. Tokens of the environment are in no sum.

Terms are summed over the batch's episodes and, as every mean here, divided by its number of agent tokens, so that
accumulation changes nothing; beside the paper's mean over episodes this is a factor, to which AdamW is blind. An
episode in which the agent said nothing counts for nothing. ``data/return`` is the mean of w_D and -w_U.

Metrics, all over the agent's tokens: ``policy/desirable`` is the share of them in desirable episodes, and
``policy/agreed`` in those whose h is on their side of z0; ``policy/z0`` is z0, in nats of an episode; ``policy/kl`` the
mean of log pi0 - log pi, and ``policy/desirable_logp`` and ``policy/undesirable_logp`` the log-probability of what was
desirable and not, summed and divided by all tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agents.agent import Agent
from agents.data.batch import Batch
from agents.data.contexts import Weighted, at_the_end, for_each_kind
from agents.data.mismatched import mismatched
from agents.data.source import Live, Logged, Source
from agents.distributed import processes
from agents.models.lm import LM
from agents.reference import keep_start, logprobs


@dataclass
class KTOConfig:
    """What Kahneman-Tversky optimisation leaves open."""

    beta: float = 0.1
    """how soon v is content: the smaller, the further the policy goes from pi0"""
    threshold: float | None = None
    """return from which an episode is desirable; None: the mean of the log, or of the batch of live episodes"""
    desirable_weight: float | None = None
    """w_D; None: n_U / n_D of w_U"""
    undesirable_weight: float = 1.0
    """w_U"""

    def __post_init__(self) -> None:
        """Checks the settings.

        Raises:
            ValueError: in words, for a setting that cannot be meant.
        """
        if not self.beta > 0:
            raise ValueError(f"beta must be above 0, not {self.beta}; the smaller it is, the further the policy goes.")
        for name in ("desirable_weight", "undesirable_weight"):
            if (weight := getattr(self, name)) is not None and not weight > 0:
                raise ValueError(f"{name} must be above 0, not {weight}.")


class KTO(Agent):
    """Preferences without pairs: each episode is desirable or not.

    The equations stand in ``help("agents.kto")`` (Ethayarajh et al. 2024, arXiv:2402.01306).
    """

    name = "kto"
    dropout = False
    config: KTOConfig

    def __init__(self, lm: LM, config: KTOConfig | None = None, seed: int = 0) -> None:
        super().__init__(lm, config, seed)
        self._z0: Tensor | None = None  # of the batch whose loss is computed in parts

    def prepare(self, source: Source) -> Source:
        """Makes w_D and -w_U of returns.

        Raises:
            ValueError: all logged episodes are on one side of the threshold.
            TypeError: the source is none of ``Logged``, ``Live`` and ``Mixed``.
        """
        keep_start(self)
        return for_each_kind(source, self._logged, self._live)

    def _logged(self, source: Logged) -> Source:
        returns = source.data.returns
        above = self._above(returns, returns)
        if above.all() or not above.any():
            raise ValueError(
                f"All {len(returns)} episodes of the log are on one side of the threshold, with returns from "
                f"{returns.min():g} to {returns.max():g}. Set a threshold between them, or take another log."
            )
        return Weighted(source, lambda e: at_the_end(e, self._weights(e.returns, returns)))

    def _live(self, source: Live) -> Source:
        return Weighted(source, lambda e: at_the_end(e, self._weights(e.returns, processes.joined(e.returns))))

    def _above(self, returns: NDArray[np.float64], compared: NDArray[np.float64]) -> NDArray[np.bool_]:
        c = self.config
        return returns >= (compared.mean() if c.threshold is None else c.threshold)

    def _weights(self, returns: NDArray[np.float64], compared: NDArray[np.float64]) -> NDArray[np.float64]:
        """w_D or -w_U of each return [n], given all that are compared."""
        c, share = self.config, self._above(compared, compared).mean()
        balance = (1 - share) / share if 0 < share < 1 else 1.0
        desirable = c.undesirable_weight * balance if c.desirable_weight is None else c.desirable_weight
        return np.where(self._above(returns, compared), desirable, -c.undesirable_weight)  # [n]

    def before_loss(self, batch: Batch) -> None:
        """Estimates z0."""
        self._z0 = self._estimate(batch)

    def _estimate(self, batch: Batch) -> Tensor:
        """z0 of a batch, of which every process has a share."""
        room = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        other = mismatched(batch, room).to(self.model.device)
        sums = self._divergence(other) if self.parallel is None else self.parallel(self._divergence, other)  # [2]
        total, count = processes.total(sums)
        return (total / count).clamp(min=0)

    def after_step(self, step: int) -> None:
        """Forgets z0, which is that of one batch."""
        super().after_step(step)
        self._z0 = None

    @torch.no_grad()
    def _divergence(self, batch: Batch) -> Tensor:
        """The sum of h over the episodes, and their number, [2]."""
        h = (logprobs(self.model, batch) - logprobs(keep_start(self), batch)).sum(1)  # [B]
        return torch.stack([h.sum(), torch.full_like(h[0], len(batch))])

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of episodes, whose returns are w_D where they are desirable and -w_U where not."""
        logp = logprobs(self.model, batch)  # [B, A]
        with torch.no_grad():
            logp0 = logprobs(keep_start(self), batch)  # [B, A]
        z0 = self._estimate(batch) if self._z0 is None else self._z0
        h = (logp - logp0).sum(1)  # [B]
        weight = batch.reward.sum(1)  # [B] w_D or -w_U
        margin = weight.sign() * (h - z0)  # [B]
        spoke = batch.mask.amax(1)  # [B] 0 where nothing was said
        loss = (spoke * weight.abs() * torch.sigmoid(-self.config.beta * margin)).sum() / batch.mask.sum().clamp(min=1)
        good = (weight > 0)[:, None]  # [B, 1]
        return loss, {
            "loss/kto": loss.detach(),
            "policy/desirable": batch.mean(good.float()),
            "policy/agreed": batch.mean((margin.detach() > 0).float()[:, None]),
            "policy/z0": batch.mean(z0.expand_as(batch.mask)),
            "policy/kl": batch.mean((logp0 - logp).detach()),
            "policy/desirable_logp": batch.mean(good * logp.detach()),
            "policy/undesirable_logp": batch.mean(~good * logp.detach()),
        }
