"""Off-policy evaluation of agents: from logged episodes and a policy to the estimates of ``agents.ope.estimators``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from agents.data.batch import Batch, collate
from agents.data.source import Logged
from agents.decoding.distribution import next_token_logprobs, speaker
from agents.decoding.policy import LMPolicy
from agents.ope.estimators import Estimate, Floats, Log, estimates
from agents.ope.fitted_q import FittedQ, FittedQConfig, places
from datasets_builders.dataset import EpisodeDataset
from datasets_builders.progress import counted
from lang_envs.episode import Episodes
from lang_envs.rollout import Policy

ROWS = 64  # episodes read at once


@dataclass(frozen=True)
class Evaluation:
    """What logged episodes say of a policy that did not play them.

    Attributes:
        estimates: of its value, one for each estimator.
        episodes: how many were logged.
        logged: their mean discounted return: the value of the policy that played them.
        covered: mean weight of the episodes, about 1 where they hold what the policy would say; NaN where unknown.
    """

    estimates: list[Estimate]
    episodes: int
    logged: float
    covered: float


def evaluate(
    policy: Policy,
    data: EpisodeDataset | str | Path,
    rng: np.random.Generator,
    behaviour: Policy | None = None,
    fitted_steps: int = 400,
    gamma: float = 1.0,
    least: float = 30.0,
    **fit: Any,
) -> Evaluation:
    """Estimates what ``policy`` would be paid, from episodes that no part of it was trained on.

    Q is fitted twice, on either half of the episodes, and used on the other half: fitted to the episodes it corrects,
    it would explain away what it should be corrected by.

    Args:
        policy: an ``LMPolicy``, as ``agent.policy(...)`` makes it; one that is greedy is another than one that samples.
        data: episodes held out from its training.
        rng: of the halves, of fitted Q and of the bootstrap.
        behaviour: who played the episodes, where they do not hold their log-probabilities or not those of all; an agent
            trained by ``bc`` on the same log is the usual stand-in, and its errors are then the estimates' too.
        fitted_steps: optimiser steps of each half's fitted Q; 0 does without Q, V and the doubly robust estimate.
        gamma: discount per token of the agent; 1 compares with returns as they are reported.
        least: effective episodes below which an estimate is called hopeless.
        **fit: fields of ``FitConfig`` for fitted Q.

    Raises:
        ValueError: a policy without a distribution of tokens, episodes in other tokens, or fewer than two to fit Q on.
    """
    data = data if isinstance(data, EpisodeDataset) else EpisodeDataset.load(data)
    target = speaker(policy)
    Logged(data).check_tokenizer(target.tokenizer)
    columns = _columns(data, target, None if behaviour is None else speaker(behaviour))
    if fitted_steps:
        columns |= _fitted(data, target, FittedQConfig(gamma=gamma), rng, fitted_steps, fit)
    log = Log(**columns)
    discounted = (np.where(log.mask, log.reward, 0.0) * gamma ** np.arange(log.mask.shape[1])).sum(1)  # [B]
    known = log.known
    return Evaluation(
        estimates=estimates(log, rng, gamma, least),
        episodes=len(data),
        logged=float(discounted.mean()),
        covered=float(log.select(known).weights()[:, -1].mean()) if known.any() else float("nan"),
    )


def _columns(data: EpisodeDataset, target: LMPolicy, behaviour: LMPolicy | None) -> dict[str, Any]:
    """Everything of a ``Log`` but Q and V."""
    found: dict[str, list[Any]] = {name: [] for name in ("reward", "mask", "target", "behaviour")}
    for episodes, batch in _batches(data, np.arange(len(data)), target):
        known = recorded_logprobs(episodes, batch)
        if behaviour is not None:
            known = np.where(np.isnan(known), logprobs(behaviour, batch), known)
        found["reward"].append(batch.reward.double().numpy())
        found["mask"].append(batch.mask.numpy() > 0)
        found["target"].append(logprobs(target, batch))
        found["behaviour"].append(known)
    return {name: _joined(parts) for name, parts in found.items()}


def _fitted(
    data: EpisodeDataset,
    target: LMPolicy,
    config: FittedQConfig,
    rng: np.random.Generator,
    steps: int,
    fit: dict[str, Any],
) -> dict[str, Floats]:
    """Q and V of every decision, [B, A] each, by a model that was fitted to the other half of the episodes."""
    if len(data) < 2:
        raise ValueError("Fitted Q needs at least two episodes, one to fit and one to value; set fitted_steps=0.")
    halves = np.array_split(rng.permutation(len(data)), 2)
    place = np.argsort(np.concatenate(halves))  # [B] where each episode comes out below
    q: list[Floats] = []
    v: list[Floats] = []
    for own, other in (halves, halves[::-1]):
        seed = int(rng.integers(2**31))
        model = FittedQ.of(target, config, seed)
        model.learn(Logged(data.select(other), seed), steps, **{"seed": seed} | fit)
        for _, batch in _batches(data, own, target):
            for column, values in zip((q, v), model.values(batch.to(model.model.device)), strict=True):
                column.append(values.double().cpu().numpy())
    return {"q": _joined(q)[place], "v": _joined(v)[place]}


def _batches(data: EpisodeDataset, rows: NDArray[np.int64], policy: LMPolicy) -> Iterator[tuple[Episodes, Batch]]:
    """The episodes ``rows``, in that order."""
    starts = range(0, len(rows), ROWS)
    for at in counted("reading episodes, in batches", len(starts), starts):
        episodes = data.rows(rows[at : at + ROWS])
        yield episodes, collate(episodes, policy.tokenizer.pad_token_id, policy.end_id)


def logprobs(policy: LMPolicy, batch: Batch) -> Floats:
    """The log-probability of what was said, under ``policy`` [B, A]: -inf where it never says it, 0 in the padding."""
    device = policy.model.device
    there = batch.to(device)
    with torch.inference_mode():
        logp = next_token_logprobs(policy, there.input_ids, places(there))  # [K, V]
        taken = logp.gather(-1, there.action[there.mask > 0][:, None]).squeeze(-1)  # [K]
    return _in_rows(batch, taken.double().cpu().numpy())


def recorded_logprobs(episodes: Episodes, batch: Batch) -> Floats:
    """What was recorded with the episodes, [B, A]: NaN where nothing was (``Batch.logprob`` is 0 there)."""
    said = episodes.is_action
    recorded = np.full(said.sum(), np.nan) if episodes.logprobs is None else episodes.logprobs[said].astype(np.float64)
    return _in_rows(batch, recorded)


def _in_rows(batch: Batch, values: Floats) -> Floats:
    """Values of the K decisions [K] as [B, A], 0 in the padding."""
    out = np.zeros(batch.mask.shape)
    out[batch.mask.numpy() > 0] = values
    return out


def _joined(parts: list[Any]) -> Any:
    """Arrays [b, A] of different widths as one, padded on the right."""
    width = max(part.shape[1] for part in parts)
    return np.concatenate([np.pad(part, ((0, 0), (0, width - part.shape[1]))) for part in parts])
