"""Writes alternative texts: what pictures show, in words, for readers who do not see them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from agents.benchmark.report.names import name_of

MOST = 12
"""most names in a list; a longer one shows the best and the last"""


def ranked(values: Mapping[str, float]) -> str:
    """``ILQL 0.98, SARSA 0.97, BC 0.51``: the highest first."""
    best_first = sorted(values.items(), key=lambda item: -item[1])
    told = [f"{name} {value:.2f}" for name, value in best_first]
    if len(told) > MOST:
        told = [*told[: MOST - 1], f"{len(told) - MOST} more", told[-1]]
    return ", ".join(told)


def of_scores(
    quantity: str, trained: Mapping[str, float], marks: Mapping[str, float], sampled: Mapping[str, float]
) -> str:
    """The picture of scores: the mean of every agent and baseline.

    Args:
        quantity: what the scores are.
        trained: agent -> mean.
        marks: untrained policy -> score.
        sampled: agent -> mean of sampled play, if greedy and sampled play are both shown; otherwise empty.
    """
    parts = [f"{quantity}, highest first: {ranked(trained)}"]
    if sampled:
        parts.append(f"Sampled: {ranked(sampled)}")
    if marks:
        parts.append(f"Not trained: {ranked(marks)}")
    return ". ".join(parts) + "."


def of_sweep(
    varied: str, lines: Mapping[str, Mapping[float, Sequence[float]]], levels: Mapping[str, Sequence[float]]
) -> str:
    """The picture of a sweep: the mean at the first and the last place of each line."""
    parts = []
    for name, points in lines.items():
        first, last = min(points), max(points)
        at = [f"{np.mean(points[place]):.2f} at {place:,g}" for place in dict.fromkeys((first, last))]
        parts.append(f"{name} {' and '.join(at)}")
    parts += [f"{name} {np.mean(level):.2f} throughout" for name, level in levels.items()]
    return f"Returns over {varied}: {'; '.join(parts)}."


def of_rank_test(curves: Mapping[str, Any], ideal: Sequence[float], ceiling: Sequence[float]) -> str:
    """The picture of the rank test: the last measured scores, at the end token and at the first letter."""
    parts = []
    for k in dict.fromkeys((0, len(ceiling) - 1)):
        found = {label: float(np.mean([run[-1]["target"][k] for run in runs])) for label, runs in curves.items()}
        marks = f"attainable {ceiling[k]:.2f}, behaviour's values {ideal[k]:.2f}"
        parts.append(f"offset {k}: {ranked(found)} ({marks})")
    return f"How often values prefer the expert's word after training, highest first. {'; '.join(parts)}."


def of_values(
    titles: Mapping[str, str],
    curves: Mapping[str, Any],
    behaviour: Mapping[str, float],
    optimal: Mapping[str, float],
) -> str:
    """The picture of values: the last measured ones."""
    parts = []
    for key, name in titles.items():
        found = {label: float(np.mean([run[-1][key] for run in runs])) for label, runs in curves.items()}
        marks = f"optimal play {optimal[key]:.2f}, behaviour {behaviour[key]:.2f}"
        parts.append(f"{name}: {ranked(found)} ({marks})")
    return f"Values after training, highest first. {'; '.join(parts)}."


def of_curves(metrics: Mapping[str, Mapping[str, Sequence[Sequence[tuple[int, float]]]]]) -> str:
    """Pictures of curves: the last value of every agent, for each metric."""
    parts = []
    for name, by_agent in metrics.items():
        found = {label: float(np.mean([run[-1][1] for run in runs])) for label, runs in by_agent.items()}
        parts.append(f"{name_of(name)}: {ranked(found)}")
    return f"After training, highest first. {'; '.join(parts)}."
