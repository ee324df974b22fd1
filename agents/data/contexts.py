"""Groups episodes by context, to compare their returns: the weights and pairs of several algorithms.

A context is what the agent observes before its first turn: logged episodes have the same context if they begin with the
same observation, token for token. What a task hides from the agent (Wordle's word) is not part of it. In MovieReview
every episode begins with the same observation, so there is one context. Live episodes have the same context if they
were started with the same seed. What is hidden is then the same too, and the comparison has less noise.
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

_AT_ONCE = 4096  # number of episodes; limits the memory of one pass over a data set


def pieces(data: EpisodeDataset) -> Iterator[tuple[int, Episodes]]:
    """All episodes, up to ``_AT_ONCE`` at a time: the index of the first, and the episodes."""
    for first in range(0, len(data), _AT_ONCE):
        yield first, data.rows(np.arange(first, min(first + _AT_ONCE, len(data))))


def digest(tokens: NDArray[np.int32]) -> bytes:
    """A hash of a history, 16 bytes."""
    return blake2b(tokens.tobytes(), digest_size=16).digest()


def openings(episodes: Episodes) -> list[bytes]:
    """The digest of each of B episodes' first observation: all tokens before the agent's first."""
    actions = np.append(episodes.is_action.nonzero()[0], len(episodes.tokens))  # [K + 1]
    first = actions[actions.searchsorted(episodes.offsets[:-1])]  # [B] the next action, perhaps of a later episode
    stop = np.minimum(first, episodes.offsets[1:])  # [B]
    return [digest(episodes.tokens[a:b]) for a, b in zip(episodes.offsets[:-1], stop, strict=True)]


def starts(episodes: Episodes) -> list[bytes]:
    """The contexts of B live episodes: the seeds with which they were started, as 16 bytes."""
    return [int(info["seed"]).to_bytes(16, "big") for info in episodes.info]


def best_of_each(data: EpisodeDataset, n: int) -> EpisodeDataset:
    """The ``n`` episodes with the highest returns of every context, in the data's order; of equal ones the earlier."""
    number: dict[bytes, int] = {}  # context -> its number
    context = np.array([number.setdefault(o, len(number)) for _, part in pieces(data) for o in openings(part)])  # [N]
    order = np.lexsort((-data.returns, context))  # [N] stable: context by context, the best first
    ranked = context[order]  # [N]
    place = np.arange(len(ranked)) - ranked.searchsorted(ranked)  # [N] 0 for the best of a context
    return data.select(np.sort(order[place < n]))


def mean_and_scale(
    returns: NDArray[np.float64], group: NDArray[np.int64], eps: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The mean of each of G groups and the reciprocal of its standard deviation, [G] each.

    The deviation is the population's. If it is at most ``eps``, the reciprocal is 0, and all weights of the group are.

    Args:
        returns: [n].
        group: [n], the group of each, from 0 to G - 1.
        eps: deviations up to this count as 0.
    """
    count = np.maximum(np.bincount(group), 1)  # [G]
    mean = np.bincount(group, returns) / count  # [G]
    deviation = np.sqrt(np.bincount(group, (returns - mean[group]) ** 2) / count)  # [G]
    scale = np.divide(1.0, deviation, out=np.zeros_like(deviation), where=deviation > eps)  # [G]
    return mean, scale


class Relative:
    """Returns minus the mean of their group, divided by the group's standard deviation.

    Args:
        group: [n], the key of each return's group, such as a seed or a digest.
        returns: [n], all returns that are compared.
        eps: deviations up to this count as 0, see ``mean_and_scale``.
        scaled: whether to divide by the standard deviation.
    """

    def __init__(self, group: ArrayLike, returns: NDArray[np.float64], eps: float, scaled: bool = True) -> None:
        self.groups, number = np.unique(np.asarray(group), return_inverse=True)  # [G], [n]
        self.mean, self.scale = mean_and_scale(returns, number, eps)  # [G] each
        if not scaled:
            self.scale = np.ones_like(self.scale)

    def __call__(self, group: ArrayLike, returns: NDArray[np.float64]) -> NDArray[np.float64]:
        """Relative returns [m] of ``returns`` [m]; their groups [m] must be among those of the constructor."""
        number = self.groups.searchsorted(np.asarray(group))  # [m]
        return (returns - self.mean[number]) * self.scale[number]  # [m]


def for_each_kind(source: Source, logged: Callable[[Logged], Source], live: Callable[[Live], Source]) -> Source:
    """``source`` with its logged and its live part replaced by the results of the two functions.

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
    """A live source that starts ``times`` episodes from each seed; the policy's random numbers differ.

    If a request is no multiple of ``times``, its last seed gets fewer episodes.
    """

    needs_policy = True

    def __init__(self, live: Live, times: int) -> None:
        super().__init__(live)
        self.live, self.times = live, times

    def sample(self, n: int, policy: Policy | None = None, rows: range | None = None) -> Episodes:
        """Plays the next ``n`` episodes with ``policy``, or only the ``rows`` of them; one seed after another.

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
    """The next episodes of another source; every request returns the same episodes."""

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self.needs_policy = source.needs_policy
        self.episodes: Episodes | None = None

    def sample(self, n: int, policy: Policy | None = None, rows: range | None = None) -> Episodes:
        """The episodes that the other source returned at the first call; later arguments are not used."""
        if self.episodes is None:
            self.episodes = self.source.sample(n, policy, rows)
        return self.episodes


Weigh = Callable[[Episodes], NDArray[np.float64]]
"""a function of B episodes with N tokens that returns a weight for each token, [N], which replaces its reward"""


def at_the_end(episodes: Episodes, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Puts the weight of each episode on the agent's last token, 0 elsewhere: [B] -> [N]."""
    actions = episodes.is_action.nonzero()[0]  # [K]
    after = actions.searchsorted(episodes.offsets)  # [B + 1] number of actions before each episode
    spoke = after[1:] > after[:-1]  # [B]
    rewards = np.zeros(len(episodes.tokens))  # [N]
    rewards[actions[after[1:][spoke] - 1]] = weights[spoke]
    return rewards


class Weighted(Around):
    """Another source's episodes, with rewards replaced by weights.

    The training loop's ``data/return`` is then the mean sum of an episode's weights.

    Args:
        source: the source of the episodes.
        weigh: computes the weights.
        group: number of consecutive episodes that must be weighed together, such as those of one seed. Whole groups are
            sampled and weighed, also where only some of their rows are requested.
    """

    def __init__(self, source: Source, weigh: Weigh, group: int = 1) -> None:
        super().__init__(source)
        self.weigh, self.group = weigh, group
        self.needs_policy = source.needs_policy

    def sample(self, n: int, policy: Policy | None = None, rows: range | None = None) -> Episodes:
        """The next ``n`` episodes, or only the ``rows`` of them."""
        rows, k = range(n) if rows is None else rows, self.group
        wide = range(rows.start // k * k, min(n, -(-rows.stop // k) * k))
        with processes.agreed():  # ``weigh`` may wait for other processes, so all must know if one has failed
            played = self.source.sample(n, policy, wide)
        episodes = dataclasses.replace(played, rewards=self.weigh(played).astype(np.float32))
        return episodes if wide == rows else Episodes.from_list([episodes[row - wide.start] for row in rows])
