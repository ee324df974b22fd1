"""Q-SFT: Q-learning whose values are probabilities, learned by weighted cross-entropy, without heads for them.

    Q(s, a) = p(a | s) / pi0(a | s)                           in [0, 1]; pi0 is the start, a clone of the log
    w       = r + gamma max_a' Q(s', a')                      Bellman's target, from the model's own p; no gradient
    L       = -w log p(a | s) - (1 - w) log p(dummy | s)      mean over the agent's tokens

    policy  log pi(a | s) = log pi0(a | s) + q_weight Q(s, a)

(Hong et al. 2024, arXiv:2411.05193.) Of actions drawn from pi0 the loss is least at p(a | s) = pi0(a | s) w: a token
that nobody says takes what is left. Clone first: pi0 is the model as it was when training began, and p begins there,
as if everything were worth 1. The least and the highest return that can be had from a state on, ``low`` and ``high``,
are 0 and 1 in these equations; the log knows them. s' is the state of the agent's next token. Where it is recorded how
likely a token was, mu(a | s), its term counts pi0 / mu times, at most 10: what others or it itself said is then as good
as what pi0 would have.

It departs from the paper in this: the rest 1 - w goes to one token, as in its derivation, and not to all others, which
in a small vocabulary outweighs pi0; a' runs over tokens to which pi0 gives at least ``support``, since beside less the
ratio is noise; w is clipped to [0, 1]; and targets come from p as it is, not from a copy that follows it.

What is saved is p, which says what is worth little least, and pi0 beside it: ``Agent.load`` speaks as above, while
``generate`` of the model alone does not.

Metrics: ``loss/q_sft`` is L; ``value/q`` the mean of Q(s, a) over the agent's tokens and ``value/target`` that of w,
both in units of reward; ``policy/dummy`` the mean of p(dummy | s).
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from agents.agent import Agent
from agents.data.batch import Batch
from agents.data.log_facts import logged_of
from agents.data.source import Source
from agents.decoding.policy import LMPolicy
from agents.models.reading import read
from agents.models.token_scores import all_scores, part_of, token_logprobs
from agents.reference import keep_start
from lang_envs.rollout import Policy

MOST = 10.0
"""the most that a token counts"""


@dataclass
class QSFTConfig:
    """What Q-SFT leaves open."""

    gamma: float = 0.99
    """discount, per token"""
    q_weight: float = 16.0
    """of Q in the policy, as long as ``policy`` is not told another"""
    low: float | None = None
    """the least return from a state on; None: that of the log's episodes, or 0"""
    high: float | None = None
    """the highest; None: that of the log's episodes, or 0"""
    support: float = 0.01
    """probability under pi0 from which a token can be the best next one"""
    dummy: int | None = None
    """a token that nobody says; None: the one that pads"""

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

    The equations stand in ``help("agents.q_sft")`` (Hong et al. 2024, arXiv:2411.05193).
    """

    name = "q_sft"
    dropout = False
    config: QSFTConfig

    def prepare(self, source: Source) -> Source:
        """Keeps pi0, and finds the range of returns, which the configuration then says.

        Raises:
            ValueError: no log to find it in, or the token that pads ends utterances too.
        """
        keep_start(self)
        if self.config.dummy is None and self.lm.pad_id == self.lm.end_id:
            raise ValueError(
                "Q-SFT needs a token that nobody says, and this tokenizer pads with the one that ends utterances. Set "
                "dummy to the id of another one that is never said."
            )
        if self.config.low is None or self.config.high is None:
            if (logged := logged_of(source)) is None:
                raise ValueError("The range of returns is found in a log, and the source has none: set low and high.")
            returns, c = logged.data.returns, self.config
            low = min(0.0, float(returns.min())) if c.low is None else c.low
            high = max(0.0, float(returns.max())) if c.high is None else c.high
            self.config = dataclasses.replace(c, low=low, high=high if high > low else low + 1)
        return source

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted cross-entropy."""
        model, start, dummy = self.model, keep_start(self), self._dummy
        hidden = read(model.base_model, batch.input_ids, batch.attention_mask).flatten(0, 1)  # [B * T, d]
        states, action = hidden[batch.places(batch.state)], batch.flat(batch.action)  # [K, d], [K]
        head, head0 = model.get_output_embeddings(), start.get_output_embeddings()
        logp = token_logprobs(head, states, action)  # [K]
        rest = token_logprobs(head, states, torch.full_like(action, dummy))  # [K]
        with torch.no_grad():
            hidden0 = read(start.base_model, batch.input_ids, batch.attention_mask).flatten(0, 1)  # [B * T, d]
            logp0 = token_logprobs(head0, hidden0[batch.places(batch.state)], action)  # [K]
            after, low, span = batch.places(batch.next_state), *self._low_and_span  # [K]
            best = self._best(head, hidden[after], head0, hidden0[after])  # [K]
            follows = self.config.gamma * batch.flat(batch.discount)  # [K]
            target = batch.flat(batch.reward) + follows * (low + span * best)  # [K]
            w = ((target - low) / span).clamp(0, 1)  # [K]
            known = batch.flat(batch.known) > 0  # [K]
            of_start = torch.where(known, logp0 - batch.flat(batch.logprob), 0.0).exp().clamp(max=MOST)  # [K]
        loss = -batch.mean(of_start * (w * logp + (1 - w) * rest))
        return loss, {
            "loss/q_sft": loss.detach(),
            "value/q": batch.mean(low + span * (logp - logp0).detach().exp().clamp(max=1)),
            "value/target": batch.mean(low + span * w),
            "policy/dummy": batch.mean(rest.detach().exp()),
        }

    @property
    def _dummy(self) -> int:
        return self.lm.pad_id if self.config.dummy is None else self.config.dummy

    @property
    def _low_and_span(self) -> tuple[float, float]:
        low, high = (x if x is not None else other for x, other in ((self.config.low, 0.0), (self.config.high, 1.0)))
        return low, high - low

    def _best(self, head: nn.Module, x: Tensor, head0: nn.Module, x0: Tensor) -> Tensor:
        """max_a Q(s, a) of states, a few at a time: [K, d] of the model and of the start -> [K]."""
        found, size = (
            [x.new_zeros(0, dtype=torch.float32)],
            part_of(x.device, self.model.config.get_text_config().vocab_size),
        )
        for some, some0 in zip(x.split(size), x0.split(size), strict=True):
            logp, logp0 = (all_scores(h, s).float().log_softmax(-1) for h, s in ((head, some), (head0, some0)))
            found.append(q_of(logp, logp0, self.config.support, self._dummy).amax(-1))
        return torch.cat(found)

    def policy(self, q_weight: float | None = None, **decoding: Any) -> Policy:
        """The policy above; ``q_weight`` is the configuration's by default, ``decoding`` are ``LMPolicy``'s."""
        if self.reference is None:  # p is pi0 still, and all is worth the same
            return super().policy(**decoding)
        return Speaker(self, self.config.q_weight if q_weight is None else q_weight, **decoding)


def q_of(logp: Tensor, logp0: Tensor, support: float, dummy: int) -> Tensor:
    """Q of every token, at most 1, and 0 outside of the support: log p and log pi0 [..., V] -> [..., V]."""
    q = (logp - logp0).clamp(max=0).exp() * (logp0 >= math.log(support))  # [..., V]
    q[..., dummy] = 0
    return q


class Speaker(LMPolicy):
    """Speaks with pi0, perturbed by Q."""

    def __init__(self, agent: QSFT, q_weight: float, **decoding: Any) -> None:
        self.start: Any = agent.reference
        self.q_weight, self.q = q_weight, (agent.config.support, agent._dummy)
        super().__init__(agent.model, agent.lm.tokenizer, agent.lm.end_id, agent.lm.max_utterance_tokens, **decoding)

    def _trunks(self) -> list[Any]:
        return [self.model.base_model, self.start.base_model]

    def _scores(self, tokens: NDArray[np.int32], at: NDArray[np.int64]) -> Tensor:
        states = [state[:, -1] for state in self._cache.forward(tokens, at)]  # 2 x [n, d]
        logp, logp0 = (
            all_scores(model.get_output_embeddings(), state).float().log_softmax(-1)  # [n, V] each
            for model, state in zip((self.model, self.start), states, strict=True)
        )
        return (logp0 + self.q_weight * q_of(logp, logp0, *self.q))[:, : self.vocabulary]
