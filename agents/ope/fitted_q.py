"""Fitted Q evaluation (Le et al. 2019, arXiv:1903.08738): the values of a policy, from episodes it did not play.

    V(s) = sum_a pi(a | s) Qbar(s, a)                          Qbar is the target head
    y    = r + gamma (V(s') + trace pi(a' | s') (y' - Qbar(s', a')))       r behind the last token of an episode
    L_Q  = (y - Q(s, a))^2

The sum over the vocabulary is exact, since Q is one row per state and pi is known. What differs from the paper, whose
target is the one with trace 0: the rest of what was said counts as far as pi would have said the same, so that a reward
reaches the tokens before it at once and not one in every few steps (tree backup, Precup, Sutton and Singh 2000; the
fixed point is the same, for any log); one optimiser step at a time with a target that follows by Polyak averaging,
instead of a regression to its end for each new target; one Q head, since the smaller of two would be biased low.

What is evaluated is the discounted sum of rewards up to where the environment ended or cut the episode, as it is
reported elsewhere, so that nothing follows a truncated episode here.

Metrics: ``value/q`` and ``value/v`` are means of Qbar(s, a) and V(s).
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from agents.agent import Agent
from agents.data.batch import Batch
from agents.decoding.distribution import next_token_logprobs, speaker
from agents.decoding.policy import LMPolicy
from agents.models.lm import LM
from agents.models.reading import read_batch
from agents.models.value_lm import ValueLM
from agents.ope.logged import ActionValues, Floats
from lang_envs.rollout import Policy


@dataclass
class FittedQConfig:
    """Settings of fitted Q evaluation."""

    gamma: float = 1.0
    """discount per token of the agent"""
    trace: float = 1.0
    """how far targets follow what was said, as far as the policy would have said it: 0 is one step of the log"""
    target_rate: float = 0.05
    """Polyak rate of the target head, after every optimiser step"""
    num_q: int = 1
    """Q heads"""
    zero_init: bool = True
    """start as a constant: tokens the log never shows keep it until others move it"""
    bias_init: float = 0.0
    """that constant"""


class FittedQ(Agent):
    """Learns what a given policy would be paid, from any episodes; make one with ``FittedQ.of``."""

    name = "fitted_q"
    needs_values = True
    dropout = False
    model_settings: ClassVar[dict[str, Any]] = {"advantage_weight": 0.0, "value_unit": 1.0}
    config: FittedQConfig
    evaluated: LMPolicy
    """the policy whose values are learned"""

    @classmethod
    def of(cls, policy: Policy, config: FittedQConfig | None = None, seed: int = 0) -> Self:
        """Ready to learn the values of ``policy``, starting from a copy of its language model.

        Raises:
            ValueError: the policy has no distribution of tokens.
        """
        policy = speaker(policy)
        model = policy.model.lm if isinstance(policy.model, ValueLM) else policy.model
        lm = LM(copy.deepcopy(model).requires_grad_(True), policy.tokenizer, policy.max_utterance_tokens)
        fitted = cls(lm, config, seed)
        fitted.evaluated = policy
        return fitted

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss above."""
        states, action = self._decisions(batch)
        (q,) = self.model.q.at(states, action)  # [K]
        with torch.no_grad():
            pi, q_bar, v = self._values(batch, states, action)  # [K] each
            target = self._targets(batch, pi, q_bar, v)  # [K]
        loss = ((target - q.float()) ** 2).sum() / max(1, len(target))
        parts = {"loss/q": loss, "value/q": q_bar.mean(), "value/v": v.mean()}
        return loss, {name: part.detach() for name, part in parts.items()}

    def _targets(self, batch: Batch, pi: Tensor, q_bar: Tensor, v: Tensor) -> Tensor:
        """What Q is regressed on, from pi(a | s), Qbar(s, a) and V(s) of each: [K]."""
        c, real = self.config, batch.mask > 0  # [B, A]
        columns = torch.zeros(3, *real.shape, dtype=v.dtype, device=v.device)  # [3, B, A]
        columns[:, real] = torch.stack([v - c.trace * pi * q_bar, c.trace * pi, batch.reward[real]])
        target, follows = torch.zeros_like(columns[0]), torch.zeros_like(columns[0, :, 0])  # [B, A], [B]
        for t in reversed(range(real.shape[1])):
            constant, slope, reward = columns[:, :, t]  # [B] each
            target[:, t] = reward + c.gamma * follows  # [B]
            follows = constant + slope * target[:, t]  # [B] 0 in the padding
        return target[real]

    def after_step(self, step: int) -> None:
        """Moves the target."""
        super().after_step(step)
        self.model.update_targets(self.config.target_rate)

    @torch.no_grad()
    def values(self, batch: Batch) -> ActionValues:
        """Qbar of every token said and V of the state before it: [B, A] each, 0 in the padding."""
        self.model.eval()
        states, action = self._decisions(batch)
        pi, q_bar = (x.cpu().numpy() for x in self._of_actions(batch, states))  # [K, V] each
        there = batch.mask.cpu().numpy() > 0  # [B, A]

        def in_rows(columns: list[Floats]) -> Floats:
            out = np.zeros(there.shape)
            [out[there]] = columns
            return out

        return ActionValues.together([ActionValues(pi, q_bar, action.cpu().numpy())], in_rows)

    def _decisions(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The states of the batch's K decisions [K, d], and what was said [K]."""
        states = read_batch(self.model.lm.base_model, batch)  # [B * T, d]
        return states[batch.places(batch.state)], batch.flat(batch.action)

    def _of_actions(self, batch: Batch, states: Tensor) -> tuple[Tensor, Tensor]:
        """The policy's probability and Qbar of every token in K states: [K, V] each."""
        pi = next_token_logprobs(self.evaluated, batch.input_ids, batch.places(batch.state)).exp()  # [K, V]
        return pi, self.model.target_q.smallest(states)[:, : pi.shape[1]].float()  # [K, V] each

    def _values(self, batch: Batch, states: Tensor, action: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The probability and Qbar of what was said, and V of the state before: [K] each."""
        pi, q_bar = self._of_actions(batch, states)  # [K, V] each
        said = action[:, None]  # [K, 1]
        return pi.gather(1, said).squeeze(1), q_bar.gather(1, said).squeeze(1), (pi * q_bar).sum(-1)
