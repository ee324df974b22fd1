"""Scores by which candidates are ranked: functions of histories and of a candidate utterance after each.

    score                      of a candidate u = u_1 .. u_m after a history h
    QValue(agent)              Qbar(h u_1 .. u_m-1, u_m), the smaller target head at the last token
    QValue(agent, over="sum")  sum_i Qbar(h u_1 .. u_i-1, u_i)
    StateValue(agent)          V(h u), of the state after the last token
    Likelihood(policy)         sum_i log p(u_i | h u_1 .. u_i-1), or its mean with ``per_token``
    TextReward(tokenizer, f)   f of the text

Likelihoods are sums of normalised log-probabilities. Sums of logits could not be compared between candidates, because
the logits of every position have their own additive constant.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from agents.decoding.distribution import continued, next_token_logprobs, speaker
from agents.models.reading import read
from agents.models.value_lm import ValueLM
from lang_envs.rollout import Policy
from lang_envs.tokenizers import transcripts

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from agents.agent import Agent

Tokens = NDArray[np.int32]
Score = Callable[[Sequence[Tokens], Sequence[Tokens]], ArrayLike]
"""``score(histories, candidates)`` -> [n], larger is better; there are n of each, and candidate i follows history i"""


@dataclass(frozen=True)
class QValue:
    """Scores by Q of the last token, or by the sum of Q over all tokens; an agent with utterance values by its Q of u.

    Raises:
        ValueError: the agent has no Q, or ``over`` is "sum" and it has no values of tokens.
    """

    agent: Agent
    """the agent whose values are used"""
    over: Literal["end", "sum"] = "end"
    """"end": Q of the last token; "sum": the sum over all tokens"""

    def __post_init__(self) -> None:
        """Checks the agent."""
        _values_of(self.agent)
        if self.over not in ("end", "sum"):
            raise ValueError(f"over must be 'end' or 'sum', not {self.over!r}.")
        config = self.agent.model.config
        if config.q_head == "none":
            raise ValueError("This agent has values of states alone, no Q: rank by StateValue.")
        if self.over == "sum" and not config.values_tokens:
            raise ValueError("This agent has values of whole utterances, none of tokens to sum: set over='end'.")

    @torch.no_grad()
    def __call__(self, histories: Sequence[Tokens], candidates: Sequence[Tokens]) -> NDArray[np.float64]:
        """Scores [n]."""
        model = _values_of(self.agent)
        if model.config.q_head == "utterance":
            ids, said, owner = continued(histories, candidates, model.device)  # [n, T], [K], [K]
            return _numbers(model.target_q.smallest(_states(model, 2, ids)[said[_last(owner)]]).squeeze(-1))
        of_tokens = token_values(model, histories, candidates)  # n x [tokens of the candidate]
        return np.array([q[-1] if self.over == "end" else q.sum() for q in of_tokens])


@torch.no_grad()
def token_values(
    model: ValueLM, histories: Sequence[Tokens], candidates: Sequence[Tokens]
) -> list[NDArray[np.float64]]:
    """Qbar of every token of n candidates, each after its history: n x [tokens of the candidate]."""
    ids, said, owner = continued(histories, candidates, model.device)  # [n, T], [K], [K]
    rows = cast(nn.Linear, model.get_output_embeddings()).weight  # [V, d], which tied heads read
    state = _states(model, 2, ids)[said - 1]  # [K, d]
    q = torch.stack(model.target_q.at(state, ids.flatten()[said], rows)).amin(0)  # [K]
    return np.split(_numbers(q), np.cumsum(owner.bincount(minlength=len(ids)).cpu().numpy())[:-1])


@dataclass(frozen=True)
class StateValue:
    """Scores by V of the state after the candidate, before the environment's reply.

    ILQL was first used as a ranker in this way. No loss trains V in that state, because the agent takes no action
    there: its V is a generalisation from the states before. The Q of ``QValue`` was trained on the last token itself.
    Prefer ``QValue``, unless you reproduce published results.

    Raises:
        ValueError: the agent has no values.
    """

    agent: Agent
    """the agent whose values are used"""

    def __post_init__(self) -> None:
        """Checks the agent."""
        _values_of(self.agent)

    @torch.no_grad()
    def __call__(self, histories: Sequence[Tokens], candidates: Sequence[Tokens]) -> NDArray[np.float64]:
        """Scores [n]."""
        model = _values_of(self.agent)
        ids, said, owner = continued(histories, candidates, model.device)  # [n, T], [K], [K]
        return _numbers(model.v(_states(model, 1, ids)[said[_last(owner)]])[0].squeeze(-1))


@dataclass(frozen=True)
class Likelihood:
    """Scores by the log-probability under a policy that samples token by token.

    Raises:
        ValueError: the policy is no ``LMPolicy``.
    """

    policy: Policy
    """an ``LMPolicy``; its temperature and other settings apply"""
    per_token: bool = False
    """take the mean over the tokens; the sum prefers short utterances"""

    def __post_init__(self) -> None:
        """Checks the policy."""
        speaker(self.policy)

    def __call__(self, histories: Sequence[Tokens], candidates: Sequence[Tokens]) -> NDArray[np.float64]:
        """Scores [n]."""
        policy = speaker(self.policy)
        ids, said, owner = continued(histories, candidates, policy.model.device)  # [n, T], [K], [K]
        logp = next_token_logprobs(policy, ids, said - 1)  # [K, V]
        taken = logp.gather(-1, ids.flatten()[said][:, None]).squeeze(-1)  # [K]
        total = taken.new_zeros(len(ids)).index_add(0, owner, taken)  # [n]
        return _numbers(total / owner.bincount(minlength=len(ids)) if self.per_token else total)


@dataclass(frozen=True)
class TextReward:
    """Scores by a function of texts: a reward model, a classifier of ``lang_envs.rewards``, or any other."""

    tokenizer: PreTrainedTokenizerFast
    """the environment's"""
    rate: Callable[[list[str]], ArrayLike]
    """a function of n texts that returns their scores, [n]"""
    with_history: bool = False
    """rate the history with the candidate, including special tokens; otherwise the candidate without special tokens"""

    def __call__(self, histories: Sequence[Tokens], candidates: Sequence[Tokens]) -> NDArray[np.float64]:
        """Scores [n]."""
        if self.with_history:
            episodes = [np.concatenate(pair) for pair in zip(histories, candidates, strict=True)]
            texts = transcripts(self.tokenizer, episodes)
        else:
            texts = [str(self.tokenizer.decode(c, skip_special_tokens=True)) for c in candidates]
        return np.asarray(self.rate(texts), np.float64)


def _values_of(agent: Agent) -> Any:
    """The agent's ``ValueLM``."""
    if not isinstance(agent.model, ValueLM):
        raise ValueError(f"{agent.name!r} has no values to rank by. Take an agent with values, such as ilql or sarsa.")
    return agent.model


def _states(model: Any, which: int, ids: Tensor) -> Tensor:
    """Last hidden states [n * T, d] from the trunk of the policy (0), the values (1) or the targets (2)."""
    training = model.training
    model.eval()
    try:
        return read(model.trunks[which if len(model.trunks) > 1 else 0], ids).flatten(0, 1)
    finally:
        model.train(training)


def _last(owner: Tensor) -> Tensor:
    """Which of K tokens is the last of its candidate: ``owner`` [K], ascending -> bool [K]."""
    return torch.cat([owner[1:] != owner[:-1], owner.new_ones(1, dtype=torch.bool)])


def _numbers(scores: Tensor) -> NDArray[np.float64]:
    return scores.double().cpu().numpy()
