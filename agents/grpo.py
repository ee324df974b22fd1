"""GRPO: a policy gradient that compares episodes of one start, for tasks of many turns, from live and logged episodes.

    A(y)   = (R(y) - mean) / sd - baseline                    among the G episodes of one start: episodes' advantage
    A(u)   = A(y) + turn_weight (R_u - mean_u) / sd_u         per = "turn": and among turns u taken in one state
    rho_i  = pi(a_i | s_i) / mu(a_i | s_i)                    mu said it
    J_i    = min(rho_i A, clip(rho_i, 1 - eps, 1 + eps) A)    weights = "clip"
    L      = -J_i + kl_weight (pi0 / pi - log(pi0 / pi) - 1)  mean over the agent's tokens; pi0 is the start

(Shao et al. 2024, arXiv:2402.03300.) Tokens of the environment have no loss, and all of the agent's in an episode have
one advantage. Live, each start is played ``group_size`` times; of a log, all episodes that begin alike are compared
(``contexts``). ``per="turn"`` is GiGPO (Feng et al. 2025, arXiv:2505.10978): R_u is the return from the turn on,
discounted by ``gamma`` a turn, and turns of one start are compared if what was heard before them is the same: the
whole history, or the last observation alone (``anchor``), which is the paper's, for tasks whose observation is their
state. A turn that nothing is compared with adds 0.

mu is recorded with what is played. A step makes ``epochs`` updates on the same episodes; in the first one rho is 1.
Episodes of others are learned from by ``weights``, since what they do well may be unlikely yet, where the clip and rho
leave nothing to learn:

    clip   as above                                           close to mu
    topr   J_i = A log pi, times min(1, pi(y) / mu(y)) if A < 0    TOPR (Le Roux et al. 2025, arXiv:2503.14286)
    none   J_i = A log pi                                     with ``scale=False`` and a ``baseline`` below 0 AsymRE
                                                              (Arnal et al. 2025, arXiv:2506.20520)

A ``baseline`` below 0 has what is good count for more. One above 0 with "topr" keeps only what is so much better than
the mean.

It departs from the paper in this: the mean runs over all tokens of a batch, as Dr. GRPO has it (Liu et al. 2025,
arXiv:2503.20783) but for a factor, and not over those of each episode first; ``scale=False`` leaves the deviation out,
as that paper does; no KL by default. The probability of a whole episode in "topr" counts recorded tokens alone.

Metrics: ``data/return`` is the mean of advantages and tells nothing: evaluate. ``policy/clip_fraction`` is how often
rho is outside of the clip; ``policy/ratio`` its mean; ``policy/negatives`` the share of the agent's tokens with A < 0,
``policy/unweighted`` that with A = 0; ``policy/kl`` is the mean of log mu - log pi over the tokens whose log mu is
known, ``policy/recorded`` how many of all these are, ``policy/malformed`` the share in utterances that reached no end
token. ``policy/start_kl``, where it is weighed, is the mean of the last term of L.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Literal, get_args

import torch
from torch import Tensor

from agents.agent import Agent
from agents.data.advantages import Anchor, Contexts, Step, advantages
from agents.data.batch import Batch, collate
from agents.data.contexts import Kept, Relative, Repeated, Weigh, Weighted, for_each_kind, openings, pieces, starts
from agents.data.source import Live, Logged, Source
from agents.reference import Reference, check_recorded, check_reference, guards, keep_start, logprobs
from lang_envs.episode import Episodes

MOST = 20.0  # log rho above which it no longer grows: a float has no room for more, and the clip is far below


@dataclass
class GRPOConfig:
    """What group-relative policy optimisation leaves open."""

    group_size: int = 8
    """live episodes played from each starting state; a batch_size that is a multiple of it wastes none"""
    per: Literal["episode", "turn"] = "episode"
    """what has an advantage: whole episodes (GRPO), or each turn one more (GiGPO)"""
    anchor: Anchor = "history"
    """what is the same before turns that are compared: all that was said and heard, or the last observation"""
    turn_weight: float = 1.0
    """of the turn's advantage beside the episode's"""
    gamma: float = 1.0
    """discount of a turn's return, per turn; GiGPO has 0.95"""
    scale: bool = True
    """divide by the standard deviation; Dr. GRPO does not"""
    baseline: float = 0.0
    """taken off every episode's advantage, in its units"""
    weights: Literal["clip", "topr", "none"] = "clip"
    """what is made of the difference between the policy and who said it"""
    clip_range: float = 0.2
    """eps, how far rho may move before its gradient stops"""
    epochs: int = 1
    """updates on the same episodes"""
    kl_weight: float = 0.0
    """price of a nat away from the start policy, per token; 0 keeps no copy of it"""
    behaviour: Reference = "logged"
    """who stands for mu where a log has no log-probabilities: nobody, it is refused, or the start policy"""
    eps: float = 1e-6
    """standard deviation up to which returns count as all alike, and their advantage is 0"""

    def __post_init__(self) -> None:
        """Checks the settings.

        Raises:
            ValueError: in words, for a setting that cannot be meant.
        """
        check_reference(self.behaviour, "behaviour")
        words = {"per": ("episode", "turn"), "anchor": get_args(Anchor), "weights": ("clip", "topr", "none")}
        for name, known in words.items():
            if getattr(self, name) not in known:
                raise ValueError(f"{name} is one of {', '.join(known)}, not {getattr(self, name)!r}.")
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

    The equations stand in ``help("agents.grpo")`` (Shao et al. 2024, arXiv:2402.03300).
    """

    name = "grpo"
    dropout = False
    config: GRPOConfig

    def prepare(self, source: Source) -> Source:
        """Makes advantages of returns: over all of a log, over each batch of live episodes.

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
        """The loss above; each turn's advantage is the sum of its tokens' rewards."""
        c = self.config
        logp = logprobs(self.model, batch)  # [B, A]
        start = self._start(batch)  # [B, A]
        mu = torch.where(batch.known > 0, batch.logprob, logp.detach() if start is None else start)  # [B, A]
        turns = torch.zeros_like(batch.reward).scatter_add(1, batch.turn, batch.reward)  # [B, A] by number of the turn
        advantage = turns.gather(1, batch.turn)  # [B, A]
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
        """Log pi0 [B, A], where it is asked for: by the price of KL, or in the place of what no log recorded."""
        unknown = self.config.behaviour == "start" and bool((batch.known < batch.mask).any())
        if not (self.config.kl_weight or unknown):
            return None
        with torch.no_grad():
            return logprobs(keep_start(self), batch)
