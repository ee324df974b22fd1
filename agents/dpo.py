"""DPO: direct preference optimisation, on pairs made from returns.

    h(y)  = beta sum_i [log pi(a_i | s_i) - log pi0(a_i | s_i)]       the implicit reward of what was said
    L     = -log sigmoid(h(y_better) - h(y_worse))                    one term per pair

(Rafailov et al. 2023, arXiv:2305.18290.) In the paper people choose the better answer. Here the better of two episodes
of one context is the one with the higher return (``pairs`` explains how pairs are found). ``per="turn"`` compares
single utterances after the same episode so far, as the StepDPO of Mukherjee et al. 2025 (arXiv:2506.06964); the tokens
before them are then only context. Tokens of the environment are in no sum, because their likelihood is the same under
pi and pi0.

Terms are summed over the batch's pairs. As all means here, the sum is divided by the number of agent tokens, so that
accumulation changes nothing. This differs from the paper's mean over pairs by a factor, the tokens of a pair, to which
AdamW is invariant. ``batch_size`` counts pairs of two episodes each, and must be a multiple of ``accumulate``. Two
episodes with equal returns are a tie and have no effect.

Metrics, all over the agent's tokens: ``policy/accuracy`` is the share of tokens in pairs that h orders as the returns
do; ``policy/ties`` the share in ties; ``policy/margin`` the mean of h(y_better) - h(y_worse); ``policy/kl`` the mean of
log pi0 - log pi; ``policy/better_logp`` and ``policy/worse_logp`` the log-probability of the better and the worse
episodes, summed and divided by the number of all tokens. If both fall, DPO fails in a known way.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional as F

from agents.agent import Agent
from agents.data.batch import Batch
from agents.data.contexts import for_each_kind
from agents.data.pairs import LivePairs, LoggedPairs, Unit
from agents.data.source import Live, Logged, Source
from agents.distributed import processes
from agents.reference import Reference, check_recorded, keep_start, logprobs, reference_logprobs
from datasets_builders.fields import check_types


@dataclass
class DPOConfig:
    """Settings of direct preference optimisation."""

    beta: float = 0.1
    """strength of the tie to pi0: larger values keep the policy closer to it"""
    per: Unit = "episode"
    """unit of comparison: whole episodes, or single utterances after the same episode so far"""
    pairs_per_context: int | None = None
    """largest number of pairs per context, those with the largest difference first; 1 compares best with worst, None
    makes all pairs"""
    samples: int = 4
    """live episodes played from each starting state, to make pairs"""
    reference: Reference = "start"
    """pi0: a frozen copy of the start model, or the recorded log-probabilities"""

    def __post_init__(self) -> None:
        """Checks the settings.

        Raises:
            ValueError: in words, for a setting that cannot be meant.
        """
        check_types(self)
        if self.beta <= 0:
            raise ValueError(f"beta must be above 0, not {self.beta}; the smaller it is, the further the policy goes.")
        if self.samples < 2:
            raise ValueError(f"samples must be at least 2, not {self.samples}: one episode makes no pair.")
        if self.pairs_per_context is not None and self.pairs_per_context < 1:
            raise ValueError(f"pairs_per_context must be at least 1, or None for all, not {self.pairs_per_context}.")


class DPO(Agent):
    """Preferences between episodes, or between utterances, of one context.

    The equations are in ``help("agents.dpo")`` (Rafailov et al. 2023, arXiv:2305.18290).
    """

    name = "dpo"
    dropout = False
    config: DPOConfig

    def prepare(self, source: Source) -> Source:
        """Makes pairs of the episodes.

        Raises:
            ValueError: the log has no pair, or lacks the log-probabilities asked for; ``accumulate`` would cut pairs.
            TypeError: the source is none of ``Logged``, ``Live`` and ``Mixed``.
        """
        fit = self.fit_config
        if fit is not None and fit.batch_size % (fit.accumulate * processes.count()):
            times = f" times {processes.count()} processes" if processes.count() > 1 else ""
            raise ValueError(
                f"accumulate={fit.accumulate} parts of batch_size={fit.batch_size} pairs would cut pairs in two. Make "
                f"batch_size a multiple of accumulate{times}."
            )
        if self.config.reference == "start":
            keep_start(self)
        return for_each_kind(source, self._logged, self._live)

    def _logged(self, source: Logged) -> Source:
        if self.config.reference == "logged":
            check_recorded(source)
        c, lm = self.config, self.lm
        return LoggedPairs(source, c.per, lm.end_id, c.pairs_per_context, lm.max_utterance_tokens)

    def _live(self, source: Live) -> Source:
        c, lm = self.config, self.lm
        return LivePairs(source, c.per, lm.end_id, c.samples, c.pairs_per_context, lm.max_utterance_tokens)

    def loss(self, batch: Batch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The loss of pairs: rows 2 i and 2 i + 1 are one, and the better is the one with the higher return.

        Raises:
            ValueError: the number of rows is odd.
        """
        if len(batch) % 2:
            raise ValueError(f"DPO learns from pairs, rows 2 i and 2 i + 1 of a batch, but this one has {len(batch)}.")
        logp = logprobs(self.model, batch)  # [B, A]
        logp0, _ = reference_logprobs(self, batch)  # [B, A], all of it known: see ``check_recorded``
        h = self.config.beta * (logp - logp0).sum(1)  # [B]
        returns = batch.reward.sum(1)  # [B]
        order = (returns[0::2] - returns[1::2]).sign()  # [P] 0 for a tie
        margin = order * (h[0::2] - h[1::2])  # [P]
        tokens = batch.mask.sum().clamp(min=1)
        loss = -(order.abs() * F.logsigmoid(margin)).sum() / tokens

        def over_tokens(x: torch.Tensor) -> torch.Tensor:  # [P] -> mean over the agent's tokens
            return batch.mean(x.detach().float().repeat_interleave(2)[:, None])

        better = torch.stack([order, -order], 1).view(-1, 1)  # [B, 1] 1 better, -1 worse, 0 in a tie
        return loss, {
            "loss/dpo": loss.detach(),
            "policy/accuracy": over_tokens(margin > 0),
            "policy/ties": over_tokens(order == 0),
            "policy/margin": over_tokens(margin),
            "policy/kl": batch.mean((logp0 - logp).detach()),
            "policy/better_logp": batch.mean((better > 0) * logp.detach()),
            "policy/worse_logp": batch.mean((better < 0) * logp.detach()),
        }
