"""Episodes of one context, which are compared with each other: what weights and pairs are made of.

A context is what the agent knows before it first speaks: logged episodes share one if they begin with the same
observation, token for token. Whatever a task keeps hidden (Wordle's word) is not part of it, as the agent cannot see
it; in MovieReview every episode begins alike, so there is one context. Live episodes share a context if they were
started with the same seed: then what is hidden is the same too, and the comparison has less noise.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agents.data.source import Around, Live, Logged, Mixed, Source
from agents.distributed import processes
from lang_envs.episode import Episodes
from lang_envs.rollout import Policy, Start, rollout

if TYPE_CHECKING:
    from datasets_builders.dataset import EpisodeDataset

_AT_ONCE = 4096  # episodes; bounds the memory that one pass over a data set takes


def pieces(data: EpisodeDataset) -> Iterator[tuple[int, Episodes]]:
    """All episodes, many at a time: the number of the first, and the episodes."""
    for first in range(0, len(data), _AT_ONCE):
        yield first, data.rows(np.arange(first, min(first + _AT_ONCE, len(data))))


def digest(tokens: NDArray[np.int32]) -> bytes:
    """16 bytes that stand for a history."""
    return blake2b(tokens.tobytes(), digest_size=16).digest()


def openings(episodes: Episodes) -> list[bytes]:
    """The digest of what each of B episodes begins with: all tokens before the agent's first."""
    actions = np.append(episodes.is_action.nonzero()[0], len(episodes.tokens))  # [K + 1]
    first = actions[actions.searchsorted(episodes.offsets[:-1])]  # [B] the next action, maybe another episode's
    stop = np.minimum(first, episodes.offsets[1:])  # [B]
    return [digest(episodes.tokens[a:b]) for a, b in zip(episodes.offsets[:-1], stop, strict=True)]


def starts(episodes: Episodes) -> list[bytes]:
    """The seed that each of B live episodes was started with, as bytes: what they share a context by."""
    return [int(info["seed"]).to_bytes(16, "big") for info in episodes.info]


def best_of_each(data: EpisodeDataset, n: int) -> EpisodeDataset:
    """The best ``n`` episodes of every context by return, in the data's order; among equal ones the earlier."""
    number: dict[bytes, int] = {}  # of each context
    context = np.array([number.setdefault(o, len(number)) for _, part in pieces(data) for o in openings(part)])  # [N]
    order = np.lexsort((-data.returns, context))  # [N] stable: context by context, the best first
    ranked = context[order]  # [N]
    place = np.arange(len(ranked)) - ranked.searchsorted(ranked)  # [N] 0 for the best of a context
    return data.select(np.sort(order[place < n]))


def mean_and_scale(
    returns: NDArray[np.float64], group: NDArray[np.int64], eps: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The mean of each of G groups and one over its standard deviation, [G] each.

    The deviation is the population's. Where it is at most ``eps`` the second is 0, and so is every weight made of it.

    Args:
        returns: [n].
        group: [n], numbers from 0 to G - 1.
        eps: the smallest deviation that counts as one.
    """
    count = np.maximum(np.bincount(group), 1)  # [G]
    mean = np.bincount(group, returns) / count  # [G]
    deviation = np.sqrt(np.bincount(group, (returns - mean[group]) ** 2) / count)  # [G]
    scale = np.divide(1.0, deviation, out=np.zeros_like(deviation), where=deviation > eps)  # [G]
    return mean, scale


class Relative:
    """By how much returns are above the mean of their group, in its standard deviations.

    Args:
        group: [n], whatever groups are told apart by: seeds, digests.
        returns: [n], all that are compared.
        eps: the smallest deviation that counts as one.
        scaled: whether it is divided by.
    """

    def __init__(self, group: ArrayLike, returns: NDArray[np.float64], eps: float, scaled: bool = True) -> None:
        self.groups, number = np.unique(np.asarray(group), return_inverse=True)  # [G], [n]
        self.mean, self.scale = mean_and_scale(returns, number, eps)  # [G] each
        if not scaled:
            self.scale = np.ones_like(self.scale)

    def __call__(self, group: ArrayLike, returns: NDArray[np.float64]) -> NDArray[np.float64]:
        """Of returns [m] in groups [m] that were compared: [m]."""
        number = self.groups.searchsorted(np.asarray(group))  # [m]
        return (returns - self.mean[number]) * self.scale[number]  # [m]


def for_each_kind(source: Source, logged: Callable[[Logged], Source], live: Callable[[Live], Source]) -> Source:
    """``source`` with its logged and its live part replaced by what the two functions make of them.

    Raises:
        TypeError: it is neither ``Logged``, ``Live`` nor ``Mixed``.
    """
    if isinstance(source, Logged):
        return logged(source)
    if isinstance(source, Live):
        return live(source)
    if isinstance(source, Mixed):
        mixed = copy.copy(source)
        mixed.logged = for_each_kind(source.logged, logged, live)
        mixed.live = for_each_kind(source.live, logged, live)
        return mixed
    raise TypeError(
        f"Contexts are found in Logged, Live or Mixed episodes, not in a {type(source).__name__}. Pass one of those."
    )


class Repeated(Around):
    """A live source that starts ``times`` episodes from each seed; the policy's chances differ.

    Where a request is no multiple of ``times``, its last seed gets fewer.
    """

    needs_policy = True

    def __init__(self, live: Live, times: int) -> None:
        super().__init__(live)
        self.live, self.times = live, times

    def sample(self, n: int, policy: Policy | None = None, rows: range | None = None) -> Episodes:
        """Plays ``n`` episodes with ``policy``, those of one seed one after another, or of those the ``rows``.

        Raises:
            ValueError: if there is no policy.
        """
        if policy is None:
            raise ValueError("A live source plays its episodes: pass a policy, as in sample(n, agent.policy()).")
        live = self.live
        first = live.first + live.played
        due = range(n) if rows is None else rows
        starts = [Start(first + i // self.times, policy_seed=first + i) for i in due]
        episodes = Episodes.from_list(list(rollout(live.env, policy, starts)))
        live.played += n
        return episodes


class Kept(Around):
    """The next episodes of another source, which are handed out again whenever more are asked for."""

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self.needs_policy = source.needs_policy
        self.episodes: Episodes | None = None

    def sample(self, n: int, policy: Policy | None = None, rows: range | None = None) -> Episodes:
        """What the other source gave at the first call."""
        if self.episodes is None:
            self.episodes = self.source.sample(n, policy, rows)
        return self.episodes


Weigh = Callable[[Episodes], NDArray[np.float64]]
"""From B episodes of N tokens to a weight for each token [N], in the place of its reward"""


def at_the_end(episodes: Episodes, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """One weight of each episode on the last token said: [B] -> [N]."""
    actions = episodes.is_action.nonzero()[0]  # [K]
    after = actions.searchsorted(episodes.offsets)  # [B + 1] how many actions there are before each episode
    spoke = after[1:] > after[:-1]  # [B]
    rewards = np.zeros(len(episodes.tokens))  # [N]
    rewards[actions[after[1:][spoke] - 1]] = weights[spoke]
    return rewards


class Weighted(Around):
    """Another source's episodes, whose rewards are replaced by weights.

    The training loop's ``data/return`` is then the mean of their sums.

    Args:
        source: of the episodes.
        weigh: makes the weights.
        group: where the next so many are weighed together, as those of one seed; rows asked for get whole groups.
    """

    def __init__(self, source: Source, weigh: Weigh, group: int = 1) -> None:
        super().__init__(source)
        self.weigh, self.group = weigh, group
        self.needs_policy = source.needs_policy

    def sample(self, n: int, policy: Policy | None = None, rows: range | None = None) -> Episodes:
        """The next ``n`` episodes, or of those the ``rows``."""
        rows, k = range(n) if rows is None else rows, self.group
        wide = range(rows.start // k * k, min(n, -(-rows.stop // k) * k))
        with processes.agreed():  # to weigh is to ask the other processes, who must not wait for one that failed
            played = self.source.sample(n, policy, wide)
        episodes = dataclasses.replace(played, rewards=self.weigh(played).astype(np.float32))
        return episodes if wide == rows else Episodes.from_list([episodes[row - wide.start] for row in rows])
