"""Offline ArCHer: a critic of whole utterances trains the language model (Zhou et al. 2024, arXiv:2402.19446).

    s is the history before an utterance u = a_1 .. a_n, s' the history before the next utterance; r is u's reward
    L_Q   = (r + gamma V(s') - Q(s, u))^2                      each of the Q heads; the critic is ILQL's per utterance
    L_V   = |tau - 1(Qbar(s, u) < V(s))| (Qbar(s, u) - V(s))^2  expectile; Qbar is the smaller target head
    A     = Qbar(s, u) - V(s)                                  one number for all tokens of u
    L_A   = -min(exp(A / awr_temperature), max_weight) log pi(a_i | s, a_<i)        actor = "awr", from logs
    L     = (sum over utterances of (L_Q + L_V) / unit^2  +  actor_weight sum over tokens of L_A) / number of tokens

    policy  the language model pi, as it is

The critic's actions are whole utterances, so a reward needs one backup per utterance and not one per token. The actor
chooses single tokens. ``unit`` is the spread of the log's returns, and ``gamma`` is the discount per utterance. From
its own live episodes the agent may learn by the policy gradient instead, as in the paper:

    L_A   = -(Qbar(s, u) - V(s a_<i)) log pi(a_i | s, a_<i)    actor = "policy_gradient"
    L_V  += 1/2 (Qbar(s, u) - V(s a_<i))^2                     i > 1: the mean over how u goes on

The paper subtracts a baseline from A at each token. Here this baseline is V(s a_<i) - V(s): the head V is also read
inside an utterance, where it learns a mean and not an expectile. The policy gradient assumes that the utterances are
samples of pi. Those of a log are not.

Kept from the paper: the expectile of 0.9, two Q heads, and targets by Polyak averaging. Different from the paper: its
critic has a model of its own; here the critic is heads on the language model (``trunks`` separates them). It alternates
several updates of the critic and of the actor; here both learn in the same step. For the policy gradient it draws new
utterances in the states of a replay buffer; here the agent learns from what it has just played.

Metrics: ``loss/q``, ``loss/v`` and ``loss/actor`` are L_Q, L_V and L_A; ``value/q`` and ``value/v`` are the means of
Qbar and V, weighted by the number of tokens of each utterance; ``policy/weight`` is the mean of the factor of -log pi,
and ``policy/clipped`` the fraction of tokens that reach ``max_weight``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from agents.agent import Agent
from agents.data.batch import Batch
from agents.data.source import Live, Source
from agents.utterance_ilql import Utterances, UtteranceValueConfig, critic_losses, utterances


@dataclass
class ArCHerConfig(UtteranceValueConfig):
    """Settings of ArCHer, beside those of every agent with values of utterances."""

    tau: float = 0.9
    """expectile of the value: 0.5 is the mean over the data, towards 1 the best the data show"""
    actor: Literal["awr", "policy_gradient"] = "awr"
    """how the language model learns: by weighted regression, or from its own live episodes by the policy gradient"""
    awr_temperature: float = 0.5
    """advantage that multiplies the weight of an utterance's tokens by e, in units of reward"""
    max_weight: float = 20.0
    """largest weight of a token; a token of advantage 0 has weight 1"""
    actor_weight: float = 1.0
    """weight of the actor's loss; the critic's has weight 1"""
    trunk_gradient: float = 0.3
    """fraction of the critic's gradient that reaches a shared trunk"""


class ArCHer(Agent):
    """A critic of whole utterances with an actor of single tokens.

    The equations are in ``help("agents.archer")`` (Zhou et al. 2024, arXiv:2402.19446).
    """

    name = "archer"
    needs_values = True
    dropout = False
    model_settings: ClassVar[dict[str, Any]] = {"q_head": "utterance", "advantage_weight": 0.0}
    config: ArCHerConfig

    def prepare(self, source: Source) -> Source:
        """Values start from the source's returns.

        Raises:
            ValueError: the policy gradient is asked for on logged episodes.
        """
        if self.config.actor == "policy_gradient" and not isinstance(source, Live):
            raise ValueError(
                "actor='policy_gradient' needs episodes that the policy itself has played, and got "
                f"{type(source).__name__}. Pass Live(env), or set actor='awr'."
            )
        return super().prepare(source)

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The losses above."""
        c, model, u = self.config, self.model, utterances(batch)
        policy, value, target = model.states(batch)  # [B * T, d] each
        parts, q_bar, v = critic_losses(c, model, batch, u, value, target)  # [U] each
        if c.actor == "awr":
            weight = ((q_bar - v.detach()) / c.awr_temperature).exp().clamp(max=c.max_weight)[u.of_token]  # [K]
            parts["policy/clipped"] = batch.mean((weight == c.max_weight).float())
        else:
            weight, parts["loss/v"] = self._with_baseline(batch, u, value, q_bar, parts["loss/v"])  # [K]
        parts |= {"loss/actor": -batch.mean(weight * model.said(batch, policy)), "policy/weight": batch.mean(weight)}
        loss = parts["loss/q"] + parts["loss/v"] + c.actor_weight * parts["loss/actor"]
        return loss, {name: part.detach() for name, part in parts.items()}

    def _with_baseline(
        self, batch: Batch, u: Utterances, value: Tensor, q_bar: Tensor, loss_v: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The advantage of each token over the value before it [K], and L_V with the errors of these values."""
        v = self.model.v(self.model.for_values(value[batch.places(batch.state)]))[0].float().squeeze(-1)  # [K]
        advantage = q_bar[u.of_token] - v  # [K]
        inner = torch.cat([u.of_token.new_ones(1), u.of_token.diff()])[: len(v)] == 0  # [K]
        unit = self.model.config.value_unit or 1.0
        return advantage.detach(), loss_v + batch.mean(0.5 * inner * (advantage / unit) ** 2)

    def after_step(self, step: int) -> None:
        """Moves the targets."""
        super().after_step(step)
        self.model.update_targets(self.config.target_rate)
