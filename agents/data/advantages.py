"""Advantages relative to a group: of whole episodes, and of turns that were taken in the same state on the way.

An advantage stands on the last token of its turn, in the place of rewards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from agents.data.batch import Batch
from agents.data.contexts import Relative, Weigh, digest
from agents.data.return_tokens import begins
from lang_envs.episode import Episodes

Anchor = Literal["history", "observation"]
"""what is the same before turns that are compared: the whole episode so far, or what was heard since the turn before"""
Contexts = Callable[[Episodes], list[bytes]]
"""what each of B episodes shares with those it is compared with, 16 bytes each"""


@dataclass(frozen=True)
class Step:
    """How turns are compared."""

    anchor: Anchor
    weight: float
    """of a turn's advantage beside the episode's"""
    gamma: float
    """discount of the return from a turn on, per turn"""


@dataclass(frozen=True)
class Turns:
    """U turns of B episodes of N tokens."""

    row: NDArray[np.int64]
    """[U], whose they are"""
    start: NDArray[np.int64]
    """[U], the place of the first token among the N"""
    last: NDArray[np.int64]
    """[U], that of the last"""
    to_go: NDArray[np.float64]
    """[U], return from the turn on"""


def turns_of(episodes: Episodes, batch: Batch, gamma: float) -> Turns:
    """All turns of episodes, which ``batch`` holds too, with returns discounted by ``gamma`` a turn."""
    place = torch.from_numpy(episodes.offsets[:-1])[:, None] + batch.state + 1  # [B, A] of each action
    first, end = begins(batch), (batch.mask > 0) & ~batch.inside()  # [B, A] each
    to_go = batch.returns_to_go(gamma, "turn")[first].double().numpy()  # [U]
    return Turns(first.nonzero()[:, 0].numpy(), place[first].numpy(), place[end].numpy(), to_go)


def anchors(episodes: Episodes, turns: Turns, context: Sequence[bytes], anchor: Anchor) -> list[bytes]:
    """What each of U turns is compared by: its context, of those of B episodes, and what was heard before it."""
    since = episodes.offsets[turns.row]  # [U]
    if anchor == "observation":
        later = (turns.row[1:] == turns.row[:-1]).nonzero()[0] + 1  # turns that are not the first of their episode
        since[later] = turns.last[later - 1] + 1
    spans = zip(turns.row, since, turns.start, strict=True)
    return [context[b] + digest(episodes.tokens[a:z]) for b, a, z in spans]


def advantages(
    compared: Iterable[Episodes],
    contexts: Contexts,
    laid_out: Callable[[Episodes], Batch],
    relative: Callable[..., Relative],
    baseline: float = 0.0,
    step: Step | None = None,
) -> Weigh:
    """What makes advantages of episodes that are among those compared.

    Args:
        compared: all that are.
        contexts: of episodes.
        laid_out: makes a batch of them.
        relative: makes a ``Relative`` of groups and returns.
        baseline: is taken off the advantages of episodes.
        step: how turns are compared; None: they are not.
    """
    names: list[bytes] = []  # of each episode's context
    keys: list[bytes] = []  # of each turn's
    returns, to_go = [np.empty(0)], [np.empty(0)]
    for part in compared:
        names += (context := contexts(part))
        returns.append(part.returns)
        if step is not None:
            turns = turns_of(part, laid_out(part), step.gamma)
            keys += anchors(part, turns, context, step.anchor)
            to_go.append(turns.to_go)
    of_episodes, of_turns = relative(names, np.concatenate(returns)), relative(keys, np.concatenate(to_go))

    def weigh(episodes: Episodes) -> NDArray[np.float64]:
        turns, context = turns_of(episodes, laid_out(episodes), 1.0 if step is None else step.gamma), contexts(episodes)
        advantage = (of_episodes(context, episodes.returns) - baseline)[turns.row]  # [U]
        if step is not None:
            advantage += step.weight * of_turns(anchors(episodes, turns, context, step.anchor), turns.to_go)  # [U]
        weights = np.zeros(len(episodes.tokens))  # [N]
        weights[turns.last] = advantage
        return weights

    return weigh
