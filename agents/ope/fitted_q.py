"""Fitted Q evaluation (Le et al. 2019, arXiv:1903.08738): the values of a policy, from episodes of another policy.

    V(s) = sum_a pi(a | s) Qbar(s, a)                          Qbar is the target head
    y    = r + gamma (V(s') + trace pi(a' | s') (y' - Qbar(s', a')))       r after the last token of an episode
    L_Q  = (y - Q(s, a))^2

The sum over the vocabulary is exact, because Q has one row per state and pi is known. Three things differ from the
paper. The paper's target has trace 0. With a trace, later logged tokens count with their probability under pi, so that
a reward reaches all earlier tokens in one step (tree backup, Precup, Sutton and Singh 2000; the fixed point is the same
for any log). The target follows Q by Polyak averaging after every optimiser step; in the paper each target is followed
by a whole regression. There is one Q head, because the smaller of two would be biased low.

The evaluated return is the discounted sum of rewards until the environment ended or truncated the episode, as in all
reports. A truncated episode therefore has no value after its end.

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
    """weight of later logged tokens in a target, which also count with their probability under pi; 0 is one-step
    targets"""
    target_rate: float = 0.05
    """Polyak rate of the target head, after every optimiser step"""
    num_q: int = 1
    """number of Q heads"""
    zero_init: bool = True
    """start Q as a constant, so that tokens outside the log have no random values"""
    bias_init: float = 0.0
    """the initial constant of Q"""


class FittedQ(Agent):
    """Learns the values of a given policy from any episodes; make one with ``FittedQ.of``."""

    name = "fitted_q"
    needs_values = True
    dropout = False
    model_settings: ClassVar[dict[str, Any]] = {"advantage_weight": 0.0, "value_unit": 1.0}
    config: FittedQConfig
    evaluated: LMPolicy
    """the policy whose values are learned"""

    @classmethod
    def of(cls, policy: Policy, config: FittedQConfig | None = None, seed: int = 0) -> Self:
        """An agent that learns the values of ``policy``; it starts from a copy of the policy's language model.

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
        """The targets of Q, from pi(a | s), Qbar(s, a) and V(s) of each action: [K]."""
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
        """Moves the target head."""
        super().after_step(step)
        self.model.update_targets(self.config.target_rate)

    @torch.no_grad()
    def values(self, batch: Batch) -> ActionValues:
        """Qbar of every action and V of the state before it: [B, A] each, 0 in the padding."""
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
        """The probability and Qbar of each action, and V of the state before it: [K] each."""
        pi, q_bar = self._of_actions(batch, states)  # [K, V] each
        said = action[:, None]  # [K, 1]
        return pi.gather(1, said).squeeze(1), q_bar.gather(1, said).squeeze(1), (pi * q_bar).sum(-1)
