"""KTO: desirable episodes become likelier than at the start, all others less likely; it needs no pairs.

    h(y) = sum_i [log pi(a_i | s_i) - log pi0(a_i | s_i)]     pi0 is the start policy
    z0   = max(0, mean over i of h(y_j after x_i))            estimates the KL of pi and pi0; no gradient
    v(y) = w_D sigmoid(beta (h(y) - z0))                      if R(y) is at least ``threshold``: desirable
         = w_U sigmoid(beta (z0 - h(y)))                      otherwise
    L    = w_y - v(y)                                         one term per episode

The method is from Ethayarajh et al. 2024 (arXiv:2402.01306). In the paper people say what is desirable. Here an episode
is desirable if its return reaches ``threshold``. The default threshold is the mean return of the log, or of each batch
of live episodes. For z0 each opening x_i is joined with the continuation of another episode of the batch: rows 2 i and
2 i + 1 exchange their continuations. z0 is one number for the whole batch, independent of ``accumulate``, and for all
processes. Joined episodes that are too long for the model are cut.

If a weight is None, both sides have the same total weight: w_D n_D = w_U n_U, with n_D desirable and n_U other
episodes. The paper keeps this ratio between 1 and 4/3. The sums contain no tokens of the environment.

Terms are summed over the batch's episodes and divided by its number of agent tokens, as every mean here, so that
accumulation has no effect. The paper takes the mean over episodes. The difference is a factor, which does not change
AdamW's steps. An episode in which the agent said nothing has no term. ``data/return`` is the mean of w_D and -w_U.

Metrics, all over the agent's tokens: ``policy/desirable`` is the share of tokens in desirable episodes;
``policy/agreed`` the share in episodes with h above z0 if desirable, and below z0 if not; ``policy/z0`` is z0, in nats
per episode; ``policy/kl`` the mean of log pi0 - log pi; ``policy/desirable_logp`` and ``policy/undesirable_logp`` the
summed log-probability of desirable and of other episodes, divided by the number of all tokens.
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
from agents.reference import keep_start, logprobs, start_logprobs


@dataclass
class KTOConfig:
    """Settings of KTO."""

    beta: float = 0.1
    """how fast v saturates: the smaller beta is, the further the policy goes from pi0"""
    threshold: float | None = None
    """lowest return of a desirable episode; None: the mean of the log, or of each batch of live episodes"""
    desirable_weight: float | None = None
    """w_D; None: w_U n_U / n_D"""
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

    The equations are in ``help("agents.kto")`` (Ethayarajh et al. 2024, arXiv:2402.01306).
    """

    name = "kto"
    dropout = False
    config: KTOConfig

    def __init__(self, lm: LM, config: KTOConfig | None = None, seed: int = 0) -> None:
        super().__init__(lm, config, seed)
        self._z0: Tensor | None = None  # of the batch under way, whose loss is computed in parts

    def prepare(self, source: Source) -> Source:
        """Replaces returns by w_D and -w_U.

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
        """z0 of a batch, of which every process has a part."""
        room = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        other = mismatched(batch, room).to(self.model.device)
        sums = self._divergence(other) if self.parallel is None else self.parallel(self._divergence, other)  # [2]
        total, count = processes.total(sums)
        return (total / count).clamp(min=0)

    def after_step(self, step: int) -> None:
        """Forgets z0, which holds for one batch."""
        super().after_step(step)
        self._z0 = None

    @torch.no_grad()
    def _divergence(self, batch: Batch) -> Tensor:
        """The sum of h over the episodes, and their number, [2]."""
        h = (logprobs(self.model, batch) - start_logprobs(self, batch)).sum(1)  # [B]
        return torch.stack([h.sum(), torch.full_like(h[0], len(batch))])

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of episodes whose returns are w_D (desirable) or -w_U."""
        logp = logprobs(self.model, batch)  # [B, A]
        logp0 = start_logprobs(self, batch)  # [B, A]
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
