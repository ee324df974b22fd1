"""Off-policy evaluation of agents: from logged episodes and a policy to the estimates of ``agents.ope.estimators``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from agents.data.batch import Batch, collate
from agents.data.source import Logged
from agents.decoding.distribution import next_token_logprobs, speaker
from agents.decoding.policy import LMPolicy
from agents.evaluation.stats import Interval
from agents.ope.estimators import Estimate, estimates
from agents.ope.fitted_q import FittedQ, FittedQConfig
from agents.ope.log_space import mean_and_error
from agents.ope.logged import ActionValues, Floats, Log
from agents.training.fit import fit
from agents.training.fit_config import FitConfig
from datasets_builders.dataset import EpisodeDataset
from lang_envs.progress import progress_bar
from lang_envs.rollout import Policy

ROWS = 64  # episodes read at once


@dataclass(frozen=True)
class Evaluation:
    """The evaluation of a policy on logged episodes of another policy.

    Attributes:
        estimates: estimates of the policy's value, one for each estimator.
        episodes: number of logged episodes.
        logged: the mean discounted return of the logged episodes, which is the value of the policy that played them.
        covered: the mean weight of the episodes, about 1 if they hold all that the policy may say; NaN if unknown.
        returns: the range of returns that intervals assume for other episodes.
    """

    estimates: list[Estimate]
    episodes: int
    logged: float
    covered: float
    returns: Interval


def evaluate(
    policy: Policy,
    data: EpisodeDataset | str | Path,
    rng: np.random.Generator,
    behaviour: Policy | None = None,
    fitted_steps: int = 400,
    gamma: float = 1.0,
    least: float = 30.0,
    returns: tuple[float, float] | None = None,
    progress: bool = False,
    **settings: Any,
) -> Evaluation:
    """Estimates the value of ``policy`` from episodes that no part of it was trained on.

    Q is fitted twice, once on each half of the episodes, and used on the other half. A Q that was fitted to the same
    episodes would make the doubly robust estimate biased.

    Args:
        policy: an ``LMPolicy``, as ``agent.policy(...)`` makes it. A greedy policy is a different policy than a sampled
            one.
        data: episodes held out from its training.
        rng: generator of the halves, of fitted Q and of the bootstrap.
        behaviour: the policy that played the episodes, needed if they lack log-probabilities. An agent trained by
            ``bc`` on the same log is the usual replacement; its errors then enter the estimates. A greedy behaviour
            policy does not help: the log-probabilities of episodes that need it count as unknown.
        fitted_steps: optimiser steps of each half's fitted Q; 0 omits Q, V and the doubly robust estimate.
        gamma: discount per token of the agent; 1 makes estimates comparable with reported returns.
        least: number of effective episodes below which an estimate is called hopeless.
        returns: the lowest and the highest return that an episode can have. Intervals assume them for episodes that the
            log never shows. None: the range of the logged returns and the environment's reference scores.
        progress: whether to show a progress bar.
        **settings: fields of ``FitConfig`` for fitted Q. A step takes 64 episodes, or all of a half that has fewer.

    Raises:
        ValueError: the policy has no distribution of tokens, the episodes have other tokens, or there are fewer than
            two episodes to fit Q on.
    """
    data = data if isinstance(data, EpisodeDataset) else EpisodeDataset.load(data)
    target = speaker(policy)
    Logged(data).check_tokenizer(target.tokenizer)
    columns = _columns(data, target, None if behaviour is None else speaker(behaviour), progress)
    if fitted_steps:
        columns["values"] = _fitted(data, target, FittedQConfig(gamma=gamma), rng, fitted_steps, progress, settings)
    log = Log(**columns)
    discounted = (np.where(log.mask, log.reward, 0.0) * gamma ** np.arange(log.mask.shape[1])).sum(1)  # [B]
    bounds = _bounds(data, discounted) if returns is None else Interval(*returns)
    found, known = estimates(log, rng, gamma, least, returns=bounds), log.known
    return Evaluation(
        estimates=_of_greedy(found, least) if target.greedy else found,
        episodes=len(data),
        logged=float(discounted.mean()),
        covered=mean_and_error(log.select(known).log_weights()[:, -1])[0] if known.any() else float("nan"),
        returns=bounds,
    )


def _bounds(data: EpisodeDataset, returns: Floats) -> Interval:
    """The lowest and the highest of the logged returns [B] and of the environment's reference scores."""
    scores = data.provenance.get("reference_scores") or {}
    known = [score for name in ("random", "expert", "optimum") if isinstance(score := scores.get(name), int | float)]
    return Interval(float(min([returns.min(), *known])), float(max([returns.max(), *known])))


def _of_greedy(found: list[Estimate], least: float) -> list[Estimate]:
    """Adds to estimates with too few effective episodes that a greedy policy is the reason."""
    why = (
        "a greedy policy has one utterance for each history, and the log seldom holds it: estimate the policy as it "
        "samples (greedy=false)"
    )
    return [
        replace(e, warnings=(*e.warnings, why)) if e.name != "fitted_q" and e.effective < least else e for e in found
    ]


def _columns(data: EpisodeDataset, target: LMPolicy, behaviour: LMPolicy | None, progress: bool) -> dict[str, Any]:
    """All columns of a ``Log`` except the values."""
    found: dict[str, list[Any]] = {name: [] for name in ("reward", "mask", "target", "behaviour")}
    with progress_bar("Reading episodes", len(data), progress) as advance:
        for done, batch in _batches(data, np.arange(len(data)), target):
            known = np.where(batch.known.numpy() > 0, batch.logprob.double().numpy(), np.nan)  # [b, A]
            if behaviour is not None and np.isnan(known[batch.mask.numpy() > 0]).any():
                # A greedy policy has only probabilities 0 and 1: one that agrees with the log may not have played it.
                others = np.full_like(known, -np.inf) if behaviour.greedy else logprobs(behaviour, batch)
                known = np.where(np.isnan(known), others, known)
            found["reward"].append(batch.reward.double().numpy())
            found["mask"].append(batch.mask.numpy() > 0)
            found["target"].append(logprobs(target, batch))
            found["behaviour"].append(known)
            advance(done)
    return {name: _joined(parts) for name, parts in found.items()}


def _fitted(
    data: EpisodeDataset,
    target: LMPolicy,
    config: FittedQConfig,
    rng: np.random.Generator,
    steps: int,
    progress: bool,
    settings: dict[str, Any],
) -> ActionValues:
    """Q and V of every decision, [B, A] each, from a model that was fitted to the other half of the episodes."""
    if len(data) < 2:
        raise ValueError("Fitted Q needs at least two episodes, one to fit and one to value; set fitted_steps=0.")
    halves = np.array_split(rng.permutation(len(data)), 2)
    place = np.argsort(np.concatenate(halves))  # [B] the place of each episode in the concatenation below
    found: list[ActionValues] = []
    with progress_bar("Fitting Q", 2 * steps, progress) as advance:
        for i, (own, other) in enumerate((halves, halves[::-1])):
            seed = int(rng.integers(2**31))
            model = FittedQ.of(target, config, seed)
            usual = {"progress": False, "seed": seed, "log_every": 1, "batch_size": min(ROWS, len(other))}
            training = FitConfig(**usual | settings)
            for row in fit(model, Logged(data.select(other), seed), steps, training):
                advance(i * steps + int(row["step"]))
            found += [model.values(batch.to(model.model.device)) for _, batch in _batches(data, own, target)]
    return ActionValues.together(found, lambda arrays: _joined(arrays)[place])


def _batches(data: EpisodeDataset, rows: NDArray[np.int64], policy: LMPolicy) -> Iterator[tuple[int, Batch]]:
    """Batches of the episodes ``rows``, in that order, each with the number of episodes done after it."""
    for at in range(0, len(rows), ROWS):
        episodes = data.rows(rows[at : at + ROWS])
        yield at + len(episodes), collate(episodes, policy.tokenizer.pad_token_id, policy.end_id)


def logprobs(policy: LMPolicy, batch: Batch) -> Floats:
    """Log-probabilities of the actions under ``policy`` [B, A]: -inf for one that it never says, 0 in the padding."""
    device = policy.model.device
    there = batch.to(device)
    with torch.inference_mode():
        logp = next_token_logprobs(policy, there.input_ids, there.places(there.state))  # [K, V]
        taken = logp.gather(-1, there.flat(there.action)[:, None]).squeeze(-1)  # [K]
    out = np.zeros(batch.mask.shape)
    out[batch.mask.numpy() > 0] = taken.double().cpu().numpy()
    return out


def _joined(parts: list[Any]) -> Any:
    """Joins arrays [b, A] of different widths into one, padded on the right."""
    width = max(part.shape[1] for part in parts)
    return np.concatenate([np.pad(part, ((0, 0), (0, width - part.shape[1]))) for part in parts])
