"""GRPO: a policy gradient that compares episodes of one start, live or logged, in tasks of several turns.

    A(y)   = (R(y) - mean) / sd - baseline                    advantage of an episode, among the G of one start
    A(u)   = A(y) + turn_weight (R_u - mean_u) / sd_u         per = "turn": also among turns u taken in one state
    rho_i  = pi(a_i | s_i) / mu(a_i | s_i)                    mu is the policy that acted
    J_i    = min(rho_i A, clip(rho_i, 1 - eps, 1 + eps) A)    weights = "clip"
    L      = -J_i + kl_weight (pi0 / pi - log(pi0 / pi) - 1)  mean over the agent's tokens; pi0 is the start

(Shao et al. 2024, arXiv:2402.03300.) All tokens of the agent in an episode have one advantage. Tokens of the
environment have no loss. Each start is played ``group_size`` times live. In a log, all episodes with the same opening
are compared (``contexts``).

``per="turn"`` is GiGPO (Feng et al. 2025, arXiv:2505.10978). R_u is the return from the turn on, discounted by
``gamma`` per turn. Turns of one start are compared if the agent heard the same before them (``anchor``): the whole
history, or only the last observation as in the paper, for tasks whose observation is their state. A turn that is
compared with no other adds 0.

mu is recorded with live episodes. A step makes ``epochs`` updates on the same episodes; rho is 1 in the first. Good
episodes of other policies may be unlikely under pi, where rho and the clip leave almost no gradient. Hence ``weights``:

    clip   as above                                           for episodes of policies close to pi
    topr   J_i = A log pi, times min(1, pi(y) / mu(y)) if A < 0    TOPR (Le Roux et al. 2025, arXiv:2503.14286)
    none   J_i = A log pi                                     with ``scale=False`` and a ``baseline`` below 0 AsymRE
                                                              (Arnal et al. 2025, arXiv:2506.20520)

A ``baseline`` below 0 makes good episodes count more than bad ones. With "topr", one above 0 makes only episodes count
that are better than the mean by that much.

Different from the paper: the mean is over all tokens of a batch, which is Dr. GRPO's but for a factor (Liu et al. 2025,
arXiv:2503.20783), and not first over those of each episode; ``scale=False`` leaves out sd, as that paper does; there is
no KL term by default. In "topr", the probability of an episode includes its recorded tokens only.

Metrics: ``data/return`` is the mean of advantages and says nothing about returns: evaluate. ``policy/clip_fraction`` is
the share of tokens with rho outside of the clip; ``policy/ratio`` the mean of rho; ``policy/negatives`` the share with
A < 0 and ``policy/unweighted`` that with A = 0; ``policy/kl`` the mean of log mu - log pi over tokens whose log mu is
known, and ``policy/recorded`` their share; ``policy/malformed`` the share of tokens in utterances without an end token.
``policy/start_kl``, if it has a weight, is the mean of the last term of L.
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
    """Settings of group-relative policy optimisation."""

    group_size: int = 8
    """live episodes played from each starting state; a batch_size that is a multiple of it wastes none"""
    per: Literal["episode", "turn"] = "episode"
    """unit of the advantage: whole episodes (GRPO), or also their turns (GiGPO)"""
    anchor: Anchor = "history"
    """what turns that are compared have in common: the whole history before them, or the last observation"""
    turn_weight: float = 1.0
    """weight of a turn's advantage; that of an episode has weight 1"""
    gamma: float = 1.0
    """discount factor of a turn's return, per turn; GiGPO has 0.95"""
    scale: bool = True
    """divide advantages by the standard deviation; Dr. GRPO does not"""
    baseline: float = 0.0
    """subtracted from the advantage of every episode"""
    weights: Literal["clip", "topr", "none"] = "clip"
    """correction for the difference between pi and mu; see the module"""
    clip_range: float = 0.2
    """eps, the distance of rho from 1 at which its gradient stops"""
    epochs: int = 1
    """updates on the same episodes"""
    kl_weight: float = 0.0
    """weight of the divergence from the start policy, per token; 0 keeps no copy of that policy"""
    behaviour: Reference = "logged"
    """mu of tokens without recorded log-probabilities: "logged" refuses such a log, "start" takes the start policy"""
    eps: float = 1e-6
    """standard deviation up to which returns count as equal, so that their advantage is 0"""

    def __post_init__(self) -> None:
        """Checks the settings.

        Raises:
            ValueError: in words, for a setting that cannot be meant.
        """
        check_types(self)
        if self.group_size < 2:
            raise ValueError(f"group_size must be at least 2, not {self.group_size}: one return is compared with none.")
        if self.epochs < 1:
            raise ValueError(f"epochs must be at least 1, not {self.epochs}.")
        if not 0 < self.clip_range < 1:
            raise ValueError(f"clip_range lies between 0 and 1, not {self.clip_range}.")
        if not 0 <= self.gamma <= 1:
            raise ValueError(f"gamma lies from 0 to 1, got {self.gamma}.")
        if self.kl_weight < 0:
            raise ValueError(f"kl_weight is a price and must be at least 0, not {self.kl_weight}.")


class GRPO(Agent):
    """Group-relative policy optimisation, with advantages of episodes or of turns.

    The equations are in ``help("agents.grpo")`` (Shao et al. 2024, arXiv:2402.03300).
    """

    name = "grpo"
    dropout = False
    config: GRPOConfig

    def prepare(self, source: Source) -> Source:
        """Replaces rewards by advantages: relative to a whole log, or to each batch of live episodes.

        Raises:
            ValueError: the log lacks the log-probabilities of what was said.
            TypeError: the source is none of ``Logged``, ``Live`` and ``Mixed``.
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
        """Log pi0 [B, A] where the KL term or an unrecorded mu needs it, else None."""
        unknown = self.config.behaviour == "start" and bool((batch.known < batch.mask).any())
        if not (self.config.kl_weight or unknown):
            return None
        return start_logprobs(self, batch)
