"""ILQL per utterance (Snell et al. 2023, arXiv:2206.11871): values of whole utterances, to choose among samples.

    s is the history before an utterance u, s' the one before the next, after any reply; r is all reward of u
    L_Q   = (r + gamma V(s') - Q(s, u))^2                      each of the Q heads
    L_V   = |tau - 1(Qbar(s, u) < V(s))| (Qbar(s, u) - V(s))^2  expectile; Qbar is the smaller target head
    L_BC  = -log pi_beta(a | s)                                per token
    L     = (sum over utterances of (L_Q + L_V) / u^2  +  bc_weight sum over tokens of L_BC) / number of tokens

    policy  the best of ``candidates`` utterances from pi_beta, by Qbar(s, u)    (``BestUtterance``)

V is read from the hidden state at the beginning of the utterance. The scalar Q is read from the hidden state after its
last token, the end token unless the utterance was cut. Other tokens have no values, so there is no conservative term,
and the probability of no token changes. The policy can be no better than the best of a few samples of the language
model, but it needs no values of unseen tokens. ``gamma`` counts utterances.

Kept from the original: two Q heads and their targets, the heads' shape, sums over heads, squares without 1/2. Not kept:
integer rewards of utterances, and separate means over utterances and over tokens. Here both are one mean over tokens,
as everywhere in this package. ``bc_weight`` = 1 / (mean length of an utterance) gives the original's balance.

Metrics: ``value/q`` and ``value/v`` are means of Qbar and V, in which each utterance is weighted by its number of
tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from agents.agent import Agent
from agents.data.batch import Batch
from agents.decoding.policy import LMPolicy
from agents.models.reading import read
from agents.models.value_lm import ValueLM
from agents.value_learning import check_values
from lang_envs.rollout import Policy, Turn


@dataclass
class UtteranceValueConfig:
    """Settings of every agent with values of utterances."""

    tau: float = 0.7
    """expectile of the value: 0.5 is the mean over the data, towards 1 the best that the data show"""
    gamma: float = 0.99
    """discount factor per utterance"""
    target_rate: float = 0.1
    """Polyak rate of the target heads after every optimiser step"""
    num_q: Literal[1, 2] = 2
    """number of Q heads; with two, the smaller Q is used"""
    trunks: Literal["shared", "separate"] = "shared"
    """one shared transformer with target heads, or the paper's three transformers (policy, value, target)"""
    zero_init: bool = True
    """start every head as a constant"""
    bias_init: float | None = None
    """initial constant of the heads; None takes the mean of the log's returns"""
    value_unit: float | None = None
    """u, the unit in which values are learned, in units of reward; None takes the standard deviation of the log's
    returns"""

    def __post_init__(self) -> None:
        """Checks the settings.

        Raises:
            ValueError: in words, for a setting that cannot be meant.
        """
        check_values(self)


@dataclass
class UtteranceILQLConfig(UtteranceValueConfig):
    """What ILQL per utterance leaves open."""

    bc_weight: float = 0.1
    """weight of the language-model loss; the paper's balance where utterances have ten tokens"""
    candidates: int = 8
    """utterances the policy chooses among"""


class Utterances(NamedTuple):
    """The U utterances of a batch, in order."""

    start: Tensor
    """int64 [U], where the state before it ends: a position in [B * T], like the next two"""
    end: Tensor
    """int64 [U], its last token"""
    next: Tensor
    """int64 [U], where the state before the next utterance ends, or the episode"""
    reward: Tensor
    """float32 [U], the sum of its tokens' rewards"""
    discount: Tensor
    """float32 [U], 0 where the episode terminated with it, else 1"""
    tokens: Tensor
    """float32 [U], how many it has"""
    of_token: Tensor
    """int64 [K], the number of the utterance that each action belongs to"""


def utterances(batch: Batch) -> Utterances:
    """Finds the utterances of a batch."""
    real = batch.mask > 0  # [B, A]
    same = real[:, 1:] & (batch.turn[:, 1:] == batch.turn[:, :-1])  # [B, A - 1] one utterance goes on
    edge = torch.zeros_like(real[:, :1])  # [B, 1]
    first, last = real & ~torch.cat([edge, same], 1), real & ~torch.cat([same, edge], 1)  # [B, A] each
    row = torch.arange(len(batch), device=real.device)[:, None] * batch.input_ids.shape[1]  # [B, 1] in [B * T]

    def total(x: Tensor) -> Tensor:
        """The sum over each utterance: [B, A] -> [U]."""
        return batch.over_turns(x)[last]

    return Utterances(
        start=(batch.state + row)[first],
        end=(batch.state + row + 1)[last],
        next=(batch.next_state + row)[last],
        reward=total(batch.reward),
        discount=batch.discount[last],
        tokens=total(batch.mask),
        of_token=batch.flat(first).cumsum(0) - 1,
    )


def judge(model: ValueLM, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Where each utterance ends (a position in [B * T]), its Qbar, and V of the state before it: [U] each."""
    u, (_, value, target) = utterances(batch), model.states(batch)  # [B * T, d] each
    return u.end, model.target_q.smallest(target[u.end]).squeeze(-1), model.v(value[u.start])[0].squeeze(-1)


def critic_losses(
    config: UtteranceValueConfig, model: ValueLM, batch: Batch, u: Utterances, value: Tensor, target: Tensor
) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """L_Q and L_V with what there is to look at, Qbar and V of the U utterances, [U] each.

    Args:
        config: tau and gamma.
        model: with Q of utterances.
        batch: the episodes.
        u: their utterances.
        value: [B * T, d], what the trunk of the values makes of each prefix.
        target: [B * T, d], what that of the targets does.
    """
    v = model.v(model.for_values(value[u.start]))[0].float().squeeze(-1)  # [U]
    with torch.no_grad():
        v_next = model.v(value[u.next])[0].float().squeeze(-1)  # [U]
        q_bar = model.target_q.smallest(target[u.end]).float().squeeze(-1)  # [U]
    y = u.reward + config.gamma * u.discount * v_next  # [U]
    advantage = q_bar - v  # [U]
    tokens, unit = batch.mask.sum().clamp(min=1), model.config.value_unit or 1.0
    errors = [(q.float().squeeze(-1) - y) / unit for q in model.q(model.for_values(value[u.end]))]  # num_q x [U]
    parts = {
        "loss/q": torch.stack([(error**2).sum() for error in errors]).sum() / tokens,
        "loss/v": ((config.tau - (advantage < 0).float()).abs() * (advantage / unit) ** 2).sum() / tokens,
        "value/q": (q_bar * u.tokens).sum() / tokens,
        "value/v": (v * u.tokens).sum() / tokens,
    }
    return parts, q_bar, v


class UtteranceILQL(Agent):
    """Implicit Q-learning of what to say, utterance by utterance.

    The equations are in ``help("agents.utterance_ilql")`` (Snell et al. 2023, arXiv:2206.11871).
    """

    name = "utterance_ilql"
    needs_values = True
    dropout = False
    model_settings: ClassVar[dict[str, Any]] = {"q_head": "utterance", "advantage_weight": 0.0}
    usual_decoding: ClassVar[dict[str, Any]] = {}  # greedy, it has nothing to choose from
    config: UtteranceILQLConfig

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The three losses above."""
        c, model, u = self.config, self.model, utterances(batch)
        policy, value, target = model.states(batch)  # [B * T, d] each
        parts, _, _ = critic_losses(c, model, batch, u, value, target)
        parts["loss/bc"] = -batch.mean(model.said(batch, policy))
        loss = parts["loss/q"] + parts["loss/v"] + c.bc_weight * parts["loss/bc"]
        return loss, {name: part.detach() for name, part in parts.items()}

    def after_step(self, step: int) -> None:
        """Moves the targets."""
        super().after_step(step)
        self.model.update_targets(self.config.target_rate)

    def policy(self, candidates: int | None = None, **decoding: Any) -> Policy:
        """Chooses among ``candidates`` utterances (of the configuration by default) of ``LMPolicy(**decoding)``."""
        speaker = LMPolicy(self.model, self.lm.tokenizer, self.lm.end_id, self.lm.max_utterance_tokens, **decoding)
        return BestUtterance(speaker, self.config.candidates if candidates is None else candidates)


class BestUtterance:
    """A policy (see ``lang_envs.Policy``) that says the best of a few samples, by the Q of the whole utterance.

    Its turns carry no log-probabilities: those of a best sample have no closed form. Where the speaker is greedy there
    is one utterance to choose from.

    Args:
        speaker: the language model that the samples come from; its model holds the values of utterances too.
        candidates: how many samples for each turn. All come from the episode's generator, one after another.

    Raises:
        ValueError: no candidates, or a model without values of utterances.
    """

    def __init__(self, speaker: LMPolicy, candidates: int) -> None:
        if candidates < 1:
            raise ValueError(f"candidates must be at least 1, not {candidates}.")
        if not isinstance(speaker.model, ValueLM) or speaker.model.config.q_head != "utterance":
            raise ValueError("BestUtterance needs a ValueLM with q_head='utterance'; train utterance_ilql.")
        self.speaker, self.candidates = speaker, 1 if speaker.greedy else candidates

    def act(self, histories: Sequence[NDArray[np.int32]], rngs: Sequence[np.random.Generator]) -> list[Turn]:
        """One utterance for each history.

        Raises:
            ValueError: a history is empty, or leaves no room for a token in the model's context.
        """
        if not len(histories):
            return []
        k = self.candidates
        asked = [history for history in histories for _ in range(k)]  # n * k
        said = self.speaker.act(asked, [rng for rng in rngs for _ in range(k)])  # n * k
        if k == 1:
            return [Turn(turn.tokens) for turn in said]
        q = self.values([np.concatenate([history, turn.tokens]) for history, turn in zip(asked, said, strict=True)])
        best = q.reshape(-1, k).argmax(1) + k * np.arange(len(histories))  # [n]
        return [Turn(said[i].tokens) for i in best]

    def values(self, episodes: Sequence[NDArray[np.int32]]) -> NDArray[np.float64]:
        """Qbar of the utterance that each of ``episodes`` (tokens so far) ends with, [n]."""
        model: Any = self.speaker.model
        last = torch.tensor([len(tokens) - 1 for tokens in episodes], device=model.device)  # [n]
        ids = pad_sequence([torch.from_numpy(tokens).long() for tokens in episodes], batch_first=True)  # [n, T]
        training = model.training
        model.eval()
        try:
            with torch.inference_mode():
                states = read(model.trunks[-1], ids.to(model.device))  # [n, T, d]
                q = model.target_q.smallest(states[torch.arange(len(last), device=last.device), last])  # [n, 1]
        finally:
            model.train(training)
        return q.squeeze(-1).double().cpu().numpy()
