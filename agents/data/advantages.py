"""Advantages relative to a group, for whole episodes and for turns that were taken in the same state.

An advantage replaces the reward of the last token of its turn.
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
"""what turns that are compared have in common: the whole episode so far, or the observation since the turn before"""
Contexts = Callable[[Episodes], list[bytes]]
"""a function of B episodes that returns the context of each, 16 bytes; episodes of one context are compared"""


@dataclass(frozen=True)
class Step:
    """How turns are compared."""

    anchor: Anchor
    weight: float
    """factor of a turn's advantage, which is added to the episode's"""
    gamma: float
    """discount of the return from a turn on, per turn"""


@dataclass(frozen=True)
class Turns:
    """U turns of B episodes of N tokens."""

    row: NDArray[np.int64]
    """[U], index of the turn's episode"""
    start: NDArray[np.int64]
    """[U], index of the turn's first token among the N"""
    last: NDArray[np.int64]
    """[U], index of its last token among the N"""
    to_go: NDArray[np.float64]
    """[U], return from the turn on"""


def turns_of(episodes: Episodes, batch: Batch, gamma: float) -> Turns:
    """All turns of episodes, with returns discounted by ``gamma`` per turn; ``batch`` holds the same episodes."""
    place = torch.from_numpy(episodes.offsets[:-1])[:, None] + batch.state + 1  # [B, A] of each action
    first, end = begins(batch), (batch.mask > 0) & ~batch.inside()  # [B, A] each
    to_go = batch.returns_to_go(gamma, "turn")[first].double().numpy()  # [U]
    return Turns(first.nonzero()[:, 0].numpy(), place[first].numpy(), place[end].numpy(), to_go)


def anchors(episodes: Episodes, turns: Turns, context: Sequence[bytes], anchor: Anchor) -> list[bytes]:
    """The keys of U turns; turns with the same key are compared. A key is the context and a digest of what came before.

    Args:
        episodes: B episodes.
        turns: their U turns.
        context: the contexts of the B episodes.
        anchor: what the digest covers.
    """
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
    """A function that computes the advantages of episodes that are among ``compared``.

    Args:
        compared: all episodes that are compared, in parts.
        contexts: returns the contexts of episodes.
        laid_out: makes a batch of episodes.
        relative: makes a ``Relative`` from groups and returns.
        baseline: is subtracted from the advantages of episodes.
        step: how turns are compared; None: turns are not compared.

    Returns:
        A function of B episodes with N tokens that returns an advantage for each token, [N].
    """
    names: list[bytes] = []  # the context of each episode
    keys: list[bytes] = []  # the key of each turn
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
