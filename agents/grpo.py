"""GRPO: a policy gradient that compares episodes with the same start, live or logged, also in tasks of many turns.

    A(y)   = (R(y) - mean) / sd - baseline                    advantage of an episode y among the G of one start
    A(u)   = A(y) + turn_weight (R_u - mean_u) / sd_u         per = "turn": also among the turns u from one state
    rho_i  = pi(a_i | s_i) / mu(a_i | s_i)                    mu is the policy that said a_i
    J_i    = min(rho_i A, clip(rho_i, 1 - eps, 1 + eps) A)    weights = "clip"
    L      = -J_i + kl_weight (pi0 / pi - log(pi0 / pi) - 1)  mean over the agent's tokens; pi0 is the start

The method is from Shao et al. 2024 (arXiv:2402.03300). Tokens of the environment have no loss. All tokens of the agent
in an episode have the same advantage. In live training each start is played ``group_size`` times. In a log all episodes
with the same opening are compared. ``per="turn"`` is GiGPO (Feng et al. 2025, arXiv:2505.10978). R_u is the return from
turn u on, discounted by ``gamma`` per turn. Turns of episodes with the same start are compared if they have the same
``anchor``: the whole history before the turn, or only the last observation. The paper uses the last observation, for
tasks whose observation is their state. A turn without any other turn to compare with adds 0.

Live episodes record log mu. A step makes ``epochs`` updates on the same episodes; in the first update rho is 1. An
episode of another policy may be good and still unlikely under pi. Then rho is small and the clip leaves little to
learn. ``weights`` therefore has two more ways:

    clip   as above                                           for a policy close to mu
    topr   J_i = A log pi, times min(1, pi(y) / mu(y)) if A < 0    TOPR (Le Roux et al. 2025, arXiv:2503.14286)
    none   J_i = A log pi                                     AsymRE (Arnal et al. 2025, arXiv:2506.20520) if
                                                              ``scale=False`` and ``baseline`` is below 0

A ``baseline`` below 0 gives good episodes more weight. A ``baseline`` above 0 with "topr" counts as good only episodes
that are better than the mean by that much.

Different from the paper: the mean runs over all tokens of a batch, not over each episode first. Dr. GRPO does the same,
up to a factor (Liu et al. 2025, arXiv:2503.20783). ``scale=False`` does not divide by the standard deviation, as in
that paper. By default there is no KL term. In "topr" the probability of an episode is the product over its recorded
tokens.

Metrics: ``data/return`` is the mean of the advantages, which says nothing about progress; evaluate the agent instead.
``policy/clip_fraction`` is the share of tokens with rho outside the clip; ``policy/ratio`` the mean of rho;
``policy/negatives`` the share of the agent's tokens with A < 0; ``policy/unweighted`` the share with A = 0;
``policy/kl`` the mean of log mu - log pi over the tokens whose log mu is known; ``policy/recorded`` the share of these
tokens; ``policy/malformed`` the share of tokens in utterances without an end token. ``policy/start_kl`` is the mean of
the last term of L, if ``kl_weight`` is above 0.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from agents.agent import Agent
from agents.data.advantages import Anchor, Contexts, Step, advantages
from agents.data.batch import Batch, collate
from agents.data.contexts import Kept, Relative, Repeated, Weigh, Weighted, for_each_kind, openings, pieces, starts
from agents.data.source import Live, Logged, Source
from agents.reference import Reference, check_recorded, guards, keep_start, logprobs, start_logprobs
from datasets_builders.fields import check_types
from lang_envs.episode import Episodes

MOST = 20.0  # largest log rho: its exponential fits a float, and the clip is far below


@dataclass
class GRPOConfig:
    """Settings of GRPO."""

    group_size: int = 8
    """live episodes played from each starting state; batch_size should be a multiple of it, or some are wasted"""
    per: Literal["episode", "turn"] = "episode"
    """what has an advantage: only whole episodes (GRPO), or each turn too (GiGPO)"""
    anchor: Anchor = "history"
    """what compared turns have in common: the whole history before them, or the last observation"""
    turn_weight: float = 1.0
    """weight of the turn's advantage, which is added to the episode's"""
    gamma: float = 1.0
    """discount per turn of a turn's return; the paper of GiGPO has 0.95"""
    scale: bool = True
    """whether advantages are divided by the standard deviation; in Dr. GRPO they are not"""
    baseline: float = 0.0
    """subtracted from every episode's advantage, in the same units"""
    weights: Literal["clip", "topr", "none"] = "clip"
    """how the loss corrects for the difference between pi and mu; see the equations"""
    clip_range: float = 0.2
    """eps, how far rho may move from 1 before its gradient is 0"""
    epochs: int = 1
    """number of updates on the same episodes"""
    kl_weight: float = 0.0
    """weight of the divergence from the start policy, per token; at 0 no copy of the start policy is kept"""
    behaviour: Reference = "logged"
    """what replaces mu if a log has no log-probabilities: nothing ("logged": such a log is refused), or the start
    policy"""
    eps: float = 1e-6
    """standard deviation up to which returns count as equal; their advantage is then 0"""

    def __post_init__(self) -> None:
        """Checks the settings.

        Raises:
            ValueError: in words, for a setting that cannot be meant.
        """
        check_types(self)
        if self.group_size < 2:
            raise ValueError(f"group_size must be at least 2, not {self.group_size}: returns are compared.")
        if self.epochs < 1:
            raise ValueError(f"epochs must be at least 1, not {self.epochs}.")
        if not 0 < self.clip_range < 1:
            raise ValueError(f"clip_range lies between 0 and 1, not {self.clip_range}.")
        if not 0 <= self.gamma <= 1:
            raise ValueError(f"gamma lies from 0 to 1, got {self.gamma}.")
        if self.kl_weight < 0:
            raise ValueError(f"kl_weight is a weight and must be at least 0, not {self.kl_weight}.")


class GRPO(Agent):
    """Group-relative policy optimisation, with advantages of episodes or of turns.

    The equations are in ``help("agents.grpo")`` (Shao et al. 2024, arXiv:2402.03300).
    """

    name = "grpo"
    dropout = False
    config: GRPOConfig

    def prepare(self, source: Source) -> Source:
        """Computes advantages from returns: over a whole log, or over each batch of live episodes.

        Raises:
            ValueError: the log has no log-probabilities of its actions.
            TypeError: the source is not ``Logged``, ``Live`` or ``Mixed``.
        """
        if self.config.kl_weight or self.config.behaviour == "start":
            keep_start(self)
        return for_each_kind(source, self._logged, self._live)

    def _logged(self, source: Logged) -> Source:
        if self.config.behaviour == "logged" and self.config.weights != "none":
            check_recorded(source, "behaviour")
        return Weighted(source, self._advantages(openings, (part for _, part in pieces(source.data))))

    def _live(self, source: Live) -> Source:
        size = self.config.group_size
        return Weighted(Repeated(source, size), lambda e: self._advantages(starts, [e])(e), size)

    def _advantages(self, contexts: Contexts, compared: Iterable[Episodes]) -> Weigh:
        c, lm = self.config, self.lm
        return advantages(
            compared,
            contexts,
            partial(collate, pad_id=lm.pad_id, end_id=lm.end_id, limit=lm.max_utterance_tokens),
            partial(Relative, eps=c.eps, scaled=c.scale),
            c.baseline,
            Step(c.anchor, c.turn_weight, c.gamma) if c.per == "turn" else None,
        )

    def update(self, source: Source, optimizer: torch.optim.Optimizer, step: int, total: int) -> dict[str, Tensor]:
        """``epochs`` updates on the next episodes -> the metrics of the last one."""
        kept = Kept(source)
        for _ in range(self.config.epochs):
            metrics = super().update(kept, optimizer, step, total)
        return metrics

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss above; the advantage of a turn is the sum of the rewards of its tokens."""
        c = self.config
        logp = logprobs(self.model, batch)  # [B, A]
        start = self._start(batch)  # [B, A]
        mu = torch.where(batch.known > 0, batch.logprob, logp.detach() if start is None else start)  # [B, A]
        advantage = batch.over_turns(batch.reward)  # [B, A]
        log_ratio = (logp - mu).clamp(max=MOST)  # [B, A]
        ratio, gain = log_ratio.exp(), advantage * logp  # [B, A] each
        if c.weights == "clip":
            near = ratio.clamp(1 - c.clip_range, 1 + c.clip_range)  # [B, A]
            gain = torch.minimum(ratio * advantage, near * advantage)  # [B, A]
        elif c.weights == "topr":
            taper = log_ratio.detach().sum(1, keepdim=True).clamp(max=0).exp()  # [B, 1]
            gain = torch.where(advantage < 0, taper, 1.0) * gain  # [B, A]
        loss, parts = -batch.mean(gain), {}
        if start is not None and c.kl_weight:
            away = (start - logp).clamp(max=MOST)  # [B, A]
            parts["policy/start_kl"] = batch.mean(away.exp() - away - 1)
            loss = loss + c.kl_weight * parts["policy/start_kl"]
        parts |= {
            "loss/grpo": loss,
            "policy/clip_fraction": batch.mean(((ratio - 1).abs() > c.clip_range).float()),
            "policy/ratio": batch.mean(ratio),
            "policy/negatives": batch.mean((advantage < 0).float()),
            "policy/unweighted": batch.mean((advantage == 0).float()),
            **guards(self, batch, logp, batch.logprob, batch.known),
        }
        return loss, {name: part.detach() for name, part in parts.items()}

    def _start(self, batch: Batch) -> Tensor | None:
        """Log pi0 [B, A], if it is needed: for the KL term, or for tokens without a recorded log mu."""
        unknown = self.config.behaviour == "start" and bool((batch.known < batch.mask).any())
        if not (self.config.kl_weight or unknown):
            return None
        return start_logprobs(self, batch)
