"""Refit and Swift: behaviour cloning in which each episode is weighted by its return.

    L       = - w sum_i log pi(a_i | s_i)                     one weight per episode, on all of the agent's tokens
    Refit   w = r                                             the return, which must not be negative
            w = exp((r - max) / temperature)                  where a temperature is given: the KL-regularised optimum
    Swift   w = (r - mu(x)) / sigma(x)                        over the logged episodes of the context x

(Mukherjee et al. 2025, arXiv:2506.06964.) With r >= 0, Refit's loss bounds the value from below, because u >= 1 + log u
for the ratio u = pi / pi0. Exponential weights are those of reward-weighted regression (Peters and Schaal 2007) and
allow negative r. Swift's weights are signed, and the bound is lost: episodes below the mean of their context become
ever less likely, without a limit. ``negatives`` sets what happens to the episodes with w < 0:

    keep    w log pi                                          as in the paper
    clip    0                                                 only what is better than its context's mean
    taper   w min(1, pi(tau) / pi0(tau)) log pi               TOPR (Le Roux et al. 2025, arXiv:2503.14286): the ratio of
                                                              the whole episode, no gradient through it
    linear  w pi                                              RIFT (Liu et al. 2026, arXiv:2601.09253), token by token
                                                              here: the probability of a conversation is as good as 0

Sums run over the agent's tokens. As all means here, they are divided by the number of these tokens in the batch, not by
the number of episodes: an episode counts by w times its length, as in the sum above, and accumulation changes nothing.
``contexts`` defines which episodes share a context. sigma is the population's. A context with equal returns has weight
0. ``data/return`` is the mean weight wherever weights replace the returns.

Metrics: ``policy/kl`` is the mean of log pi0 - log pi over the said tokens with a known log pi0 (with ``accumulate``
the mean of the parts' means); ``policy/recorded`` the share of these tokens; ``policy/malformed`` the share of tokens
in utterances without an end token. For Swift also: ``policy/negatives`` is the share of tokens in episodes with w < 0;
``policy/negative_logp`` their log-probability, summed and divided by the number of all tokens (divided by
``policy/negatives`` it is their mean); ``policy/unweighted`` the share of tokens with weight 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from agents.agent import Agent
from agents.data.batch import Batch
from agents.data.contexts import Relative, Repeated, Weighted, at_the_end, for_each_kind, openings, pieces, starts
from agents.data.source import Live, Logged, Source
from agents.distributed.processes import joined
from agents.reference import (
    Reference,
    check_recorded,
    guards,
    keep_start,
    logprobs,
    reference_logprobs,
)
from datasets_builders.fields import check_types
from lang_envs.episode import Episodes

Weigh = Callable[[NDArray[np.float64]], NDArray[np.float64]]


@dataclass
class RefitConfig:
    """Settings of reward-weighted fine-tuning."""

    shift_rewards: bool = False
    """weight by r - min instead of r; min over the whole log, or over each batch of live episodes"""
    temperature: float | None = None
    """weight by exp((r - max) / temperature); max over the whole log, or over each batch of live episodes. None weights
    by r"""
    reference: Reference = "logged"
    """pi0 in policy/kl: the recorded log-probabilities, or a frozen copy of the start model"""

    def __post_init__(self) -> None:
        """Checks the settings.

        Raises:
            ValueError: a temperature that is not above 0, or that comes with shifted rewards.
        """
        check_types(self)
        if self.temperature is not None and not self.temperature > 0:
            raise ValueError(f"temperature must be above 0, or None, not {self.temperature}.")
        if self.temperature is not None and self.shift_rewards:
            raise ValueError("Exponential weights are positive whatever the rewards: leave shift_rewards off.")


class Refit(Agent):
    """Behaviour cloning weighted by returns.

    The equations are in ``help("agents.refit")`` (Mukherjee et al. 2025, arXiv:2506.06964).
    """

    name = "refit"
    dropout = False
    config: RefitConfig

    def prepare(self, source: Source) -> Source:
        """Makes returns the weights.

        Raises:
            ValueError: a return is negative, and ``shift_rewards`` is off; for live episodes when they are played.
            TypeError: the source is none of ``Logged``, ``Live`` and ``Mixed``.
        """
        if self.config.reference == "start":
            keep_start(self)
        return for_each_kind(source, self._logged, self._live)

    def _logged(self, source: Logged) -> Source:
        weigh = self._weighing(source.data.returns)
        return Weighted(source, lambda e: at_the_end(e, weigh(e.returns))) if weigh else source

    def _live(self, source: Live) -> Source:
        def weights(episodes: Episodes) -> NDArray[np.float64]:
            weigh = self._weighing(joined(episodes.returns))  # those of all processes are compared
            return at_the_end(episodes, weigh(episodes.returns) if weigh else episodes.returns)

        return Weighted(source, weights)

    def _weighing(self, returns: NDArray[np.float64]) -> Weigh | None:
        """From returns [n] to weights [n], given all that are compared; None where they are the weights."""
        if (temperature := self.config.temperature) is not None:
            high = float(returns.max())
            return lambda r: np.exp((r - high) / temperature)
        low = self._low(returns)
        return (lambda r: r - low) if low else None

    def _low(self, returns: NDArray[np.float64]) -> float:
        """What is taken off every return."""
        low = float(returns.min())
        if low < 0 and not self.config.shift_rewards:
            raise ValueError(
                f"Refit weighs episodes by returns of at least 0, and one is {low:g}. Set shift_rewards=True to weigh "
                "by r - min, or take Swift, whose weights may be negative."
            )
        return low if self.config.shift_rewards else 0.0

    def loss(self, batch: Batch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The weighted cross-entropy of the agent's tokens."""
        logp = logprobs(self.model, batch)  # [B, A]
        weight = batch.reward.sum(1, keepdim=True)  # [B, 1]
        loss = batch.mean(-weight * logp)
        return loss, {"loss/refit": loss.detach(), **guards(self, batch, logp, *reference_logprobs(self, batch))}


@dataclass
class SwiftConfig:
    """Settings of standardised reward-weighted fine-tuning."""

    negatives: Literal["keep", "clip", "taper", "linear"] = "keep"
    """treatment of episodes below the mean of their context; see the module"""
    group_size: int = 4
    """live episodes played from each starting state; a batch_size that is a multiple of it wastes none"""
    eps: float = 1e-6
    """standard deviation up to which the returns of a context count as equal"""
    reference: Reference = "logged"
    """pi0 in "taper" and in policy/kl: the recorded log-probabilities, or a frozen copy of the start model"""

    def __post_init__(self) -> None:
        """Checks the settings.

        Raises:
            ValueError: in words, for a setting that cannot be meant.
        """
        check_types(self)
        if self.group_size < 2:
            raise ValueError(f"group_size must be at least 2, not {self.group_size}: one return has no deviation.")


class Swift(Agent):
    """Behaviour cloning weighted by returns that are standardised in each context.

    The equations are in ``help("agents.refit")`` (Mukherjee et al. 2025, arXiv:2506.06964).
    """

    name = "swift"
    dropout = False
    config: SwiftConfig

    def prepare(self, source: Source) -> Source:
        """Standardises returns: over a log's contexts once and for all, over those of live episodes in each batch.

        Raises:
            ValueError: "taper" needs recorded log-probabilities that the log does not have.
            TypeError: the source is none of ``Logged``, ``Live`` and ``Mixed``.
        """
        if self.config.reference == "start":
            keep_start(self)
        return for_each_kind(source, self._logged, self._live)

    def _logged(self, source: Logged) -> Source:
        if (self.config.negatives, self.config.reference) == ("taper", "logged"):
            check_recorded(source)
        contexts = [opening for _, part in pieces(source.data) for opening in openings(part)]
        relative = Relative(contexts, source.data.returns, self.config.eps)
        return Weighted(source, lambda e: at_the_end(e, relative(openings(e), e.returns)))

    def _live(self, source: Live) -> Source:
        def weigh(e: Episodes) -> NDArray[np.float64]:
            return at_the_end(e, Relative(starts(e), e.returns, self.config.eps)(starts(e), e.returns))

        return Weighted(Repeated(source, self.config.group_size), weigh, self.config.group_size)

    def loss(self, batch: Batch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The weighted cross-entropy of the agent's tokens, with what ``negatives`` makes of those below the mean."""
        logp = logprobs(self.model, batch)  # [B, A]
        logp0, known = reference_logprobs(self, batch)  # [B, A] each
        weight = batch.reward.sum(1, keepdim=True)  # [B, 1]
        negative = weight < 0  # [B, 1]
        said, scaled = logp, weight  # [B, A], [B, 1]
        if self.config.negatives == "clip":
            scaled = weight.clamp(min=0)  # [B, 1]
        elif self.config.negatives == "taper":
            log_ratio = (logp - logp0).detach().sum(1, keepdim=True)  # [B, 1]
            scaled = torch.where(negative, weight * log_ratio.clamp(max=0).exp(), weight)  # [B, 1]
        elif self.config.negatives == "linear":
            said = torch.where(negative, logp.exp(), logp)  # [B, A]
        loss = batch.mean(-scaled * said)
        return loss, {
            "loss/swift": loss.detach(),
            "policy/negatives": batch.mean(negative.float()),
            "policy/negative_logp": batch.mean(negative * logp.detach()),
            "policy/unweighted": batch.mean((weight == 0).float()),
            **guards(self, batch, logp, logp0, known),
        }
