"""The distributions from which a policy samples its tokens, computed for whole episodes at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from agents.decoding.policy import LMPolicy
from agents.decoding.repetition import penalised, seen_before
from agents.decoding.sampling import shape_scores
from agents.models.reading import read
from agents.models.value_lm import ValueLM, of_each
from lang_envs.rollout import Policy


def speaker(policy: Policy) -> LMPolicy:
    """``policy`` itself, if the distribution of its tokens is known.

    Raises:
        ValueError: it is no ``LMPolicy``; it chooses whole utterances, or has no distribution in closed form.
    """
    if type(policy) is not LMPolicy:  # a subclass may choose in another way
        raise ValueError(
            f"The probabilities of what {type(policy).__name__} says are not known: it is no LMPolicy, which samples "
            "every token from a distribution. Take an agent whose policy() is one, such as bc, sarsa, ilql or refit."
        )
    return policy


@torch.no_grad()
def next_token_logprobs(policy: LMPolicy, input_ids: Tensor, at: Tensor) -> Tensor:
    """The log-probabilities of the next token in K states; -inf for tokens that cannot be sampled.

    They are those of ``LMPolicy.act``, with the policy's advantages, repetition penalty, temperature, top-k, top-p and
    greedy choice. Stop strings and ``max_new_tokens``, which force the end token, are not applied.

    Args:
        policy: the policy.
        input_ids: [B, T], padded on the right.
        at: [K], positions in [B * T] where the states end.

    Returns:
        Log-probabilities [K, V], normalised.
    """
    model: Any = policy.model
    trunks = model.trunks if isinstance(model, ValueLM) else [model.base_model]
    training = model.training
    model.eval()
    try:
        states = [read(trunk, input_ids).flatten(0, 1)[at] for trunk in trunks]  # 1 or 3 x [K, d]
        if isinstance(model, ValueLM):
            said, value, target = of_each(states)  # [K, d] each
            scores = model.scores(said, value, target, **policy.spoken)  # [K, V]
        else:
            scores = cast(nn.Module, model.get_output_embeddings())(states[0])  # [K, >= V]
            scores = scores[:, : policy.vocabulary]  # [K, V] ids behind the vocabulary cannot be sampled
    finally:
        model.train(training)
    if policy.repetition_penalty != 1:
        scores = penalised(scores, seen_before(input_ids, at, scores.shape[-1]), policy.repetition_penalty)  # [K, V]
    if policy.greedy:
        chosen = scores.argmax(-1, keepdim=True)  # [K, 1]
        return torch.full_like(scores, -torch.inf, dtype=torch.float32).scatter(-1, chosen, 0.0)
    return shape_scores(scores.float(), policy.temperature, policy.top_k, policy.top_p).log_softmax(-1)


def continued(
    histories: Sequence[NDArray[np.int32]], said: Sequence[NDArray[np.int32]], device: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    """Histories, each with the utterance after it, as one batch.

    Returns:
        The tokens [n, T], padded on the right; the positions in [n * T] of the K tokens of the utterances; and the
        index of each token's history, [K].
    """
    rows = [np.concatenate(pair) for pair in zip(histories, said, strict=True)]
    ids = pad_sequence([torch.from_numpy(row).long() for row in rows], batch_first=True)  # [n, T]
    owner = np.repeat(np.arange(len(rows)), [len(tokens) for tokens in said])  # [K]
    place = np.concatenate([np.arange(len(h), len(row)) for h, row in zip(histories, rows, strict=True)])  # [K]
    position = torch.from_numpy(owner * ids.shape[1] + place)  # [K]
    return ids.to(device), position.to(device), torch.from_numpy(owner).to(device)
