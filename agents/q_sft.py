"""Q-SFT: Q-learning whose values are probabilities, learned by weighted cross-entropy, without value heads.

    Q(s, a) = p(a | s) / pi0(a | s)                           in [0, 1]; pi0 is the start, a clone of the log
    w       = r + gamma max_a' Q(s', a')                      Bellman's target, from the model's own p; no gradient
    L       = -w log p(a | s) - (1 - w) log p(dummy | s)      mean over the agent's tokens

    policy  log pi(a | s) = log pi0(a | s) + q_weight Q(s, a)      (``RatioPolicy``)

(Hong et al. 2024, arXiv:2411.05193.) If pi0 draws the actions, L is least at p(a | s) = pi0(a | s) w. The dummy token,
which nobody says, takes the rest of the probability. Clone the log first: pi0 is the model when training begins, and p
starts as pi0, with Q = 1 everywhere. The equations are for returns from ``low`` = 0 to ``high`` = 1; by default the log
says the range. s' is the state of the agent's next token. Where mu(a | s), the probability under the policy of the log,
is recorded, the term has the weight pi0 / mu, at most 10: it then counts as if pi0 had drawn the action.

Different from the paper: the rest 1 - w goes to one token, as in the paper's derivation, and not to all other tokens,
where a small vocabulary makes it outweigh pi0. The maximum runs over tokens with pi0 of at least ``support``, because
the ratio is noise below that. w is clipped to [0, 1]. Targets come from the current p, not from a copy that follows it.

An agent is saved as p, with pi0 beside it. ``Agent.load`` opens both and speaks by the policy above. ``generate`` of
the saved model speaks by p alone, in which tokens of little value are unlikely.

Metrics: ``loss/q_sft`` is L; ``value/q`` the mean of Q(s, a) over the agent's tokens and ``value/target`` that of w,
both in units of reward; ``policy/dummy`` the mean of p(dummy | s).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from agents.agent import Agent
from agents.data.batch import Batch
from agents.data.log_facts import logged_of
from agents.data.source import Source
from agents.decoding.ratio_policy import Ratio, RatioPolicy
from agents.models.reading import read_batch
from agents.models.token_scores import token_logprobs
from agents.reference import keep_start
from lang_envs.rollout import Policy

MOST = 10.0
"""largest weight pi0 / mu of a token"""


@dataclass
class QSFTConfig:
    """Settings of Q-SFT."""

    gamma: float = 0.99
    """discount factor, per token"""
    q_weight: float = 16.0
    """weight of Q in the policy, where ``policy`` is given no other"""
    low: float | None = None
    """least return from a state on; None takes that of the log's episodes, or 0 if it is above 0"""
    high: float | None = None
    """largest return from a state on; None takes that of the log's episodes, or 0 if it is below 0"""
    support: float = 0.01
    """least probability under pi0 of a token that the maximum runs over"""
    dummy: int | None = None
    """id of a token that nobody says; None takes the padding token"""

    def __post_init__(self) -> None:
        """Checks the settings.

        Raises:
            ValueError: in words, for a setting that cannot be meant.
        """
        if not 0 <= self.gamma <= 1:
            raise ValueError(f"gamma is a discount from 0 to 1, not {self.gamma}.")
        if not 0 < self.support < 1:
            raise ValueError(f"support is a probability between 0 and 1, not {self.support}.")
        if self.low is not None and self.high is not None and not self.low < self.high:
            raise ValueError(f"low must be below high, and they are {self.low} and {self.high}.")


class QSFT(Agent):
    """Q-learning by supervised fine-tuning.

    The equations are in ``help("agents.q_sft")`` (Hong et al. 2024, arXiv:2411.05193).
    """

    name = "q_sft"
    dropout = False
    config: QSFTConfig

    def prepare(self, source: Source) -> Source:
        """Keeps pi0, and writes the range of the log's returns into the configuration where it has none.

        Raises:
            ValueError: there is no log to find the range in, or the padding token also ends utterances.
        """
        keep_start(self)
        c = self.config
        if c.dummy is None and self.lm.pad_id == self.lm.end_id:
            raise ValueError(
                "Q-SFT needs a token that nobody says, but the padding token of this tokenizer also ends utterances. "
                "Set dummy to the id of another token that is never said."
            )
        if c.low is None or c.high is None:
            if (logged := logged_of(source)) is None:
                raise ValueError("The range of returns is found in a log, and the source has none: set low and high.")
            returns = logged.data.returns
            low = min(0.0, float(returns.min())) if c.low is None else c.low
            high = max(0.0, float(returns.max())) if c.high is None else c.high
            self.config = dataclasses.replace(c, low=low, high=high if high > low else low + 1)
        return source

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted cross-entropy."""
        c, ratio = self.config, self._ratio()
        low, high = c.low or 0.0, 1.0 if c.high is None else c.high
        said, action = batch.places(batch.state), batch.flat(batch.action)  # [K] each
        states, head = read_batch(self.model.base_model, batch), self.model.get_output_embeddings()  # [B * T, d]
        logp = token_logprobs(head, states[said], action)  # [K]
        rest = token_logprobs(head, states[said], torch.full_like(action, ratio.dummy))  # [K]
        with torch.no_grad():
            states0, head0 = read_batch(ratio.start.base_model, batch), ratio.start.get_output_embeddings()
            logp0 = token_logprobs(head0, states0[said], action)  # [K]
            after = batch.places(batch.next_state)  # [K]
            best = ratio.best(states[after], states0[after])  # [K]
            follows = c.gamma * batch.flat(batch.discount)  # [K]
            target = batch.flat(batch.reward) + follows * (low + (high - low) * best)  # [K]
            w = ((target - low) / (high - low)).clamp(0, 1)  # [K]
            known = batch.flat(batch.known) > 0  # [K]
            weight = torch.where(known, logp0 - batch.flat(batch.logprob), 0.0).exp().clamp(max=MOST)  # [K] pi0 / mu
        loss = -batch.mean(weight * (w * logp + (1 - w) * rest))
        return loss, {
            "loss/q_sft": loss.detach(),
            "value/q": batch.mean(low + (high - low) * (logp - logp0).detach().exp().clamp(max=1)),
            "value/target": batch.mean(low + (high - low) * w),
            "policy/dummy": batch.mean(rest.detach().exp()),
        }

    def _ratio(self) -> Ratio:
        dummy = self.lm.pad_id if self.config.dummy is None else self.config.dummy
        return Ratio(self.model, keep_start(self), self.config.support, dummy)

    def policy(self, q_weight: float | None = None, **decoding: Any) -> Policy:
        """The policy above; ``q_weight`` is the configuration's by default, ``decoding`` are ``LMPolicy``'s."""
        if self.reference is None:  # before training p is pi0, and Q is 1 everywhere
            return super().policy(**decoding)
        weight, lm = self.config.q_weight if q_weight is None else q_weight, self.lm
        return RatioPolicy(self._ratio(), weight, lm.tokenizer, lm.end_id, lm.max_utterance_tokens, **decoding)
