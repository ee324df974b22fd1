"""Preference pairs: a better and a worse continuation of the same history, found by the returns of episodes.

With ``per="episode"`` a continuation is the rest of an episode after the opening. With ``per="turn"`` it is one
utterance, compared by the return of its episode. The continuations of one history are sorted by return. The best is
paired with the worst, the second best with the second worst, and so on. Pairs of equal returns are dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from agents.data.contexts import Repeated, digest, pieces
from agents.data.source import Around, Live, Logged
from lang_envs.episode import Episode, Episodes
from lang_envs.rollout import Policy
from lang_envs.seeds import EPISODES
from lang_envs.turns import turn_begins

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

Unit = Literal["episode", "turn"]


@dataclass(frozen=True)
class Said:
    """C continuations: each is the tokens ``start .. stop - 1`` of an episode."""

    row: NDArray[np.int64]
    """[C], index of the episode"""
    start: NDArray[np.int64]
    """[C], position of the first token in the episode"""
    stop: NDArray[np.int64]
    """[C], position after the last token"""
    history: NDArray[np.int64]
    """[C], number of the history; continuations with the same number are compared"""


def said(
    parts: Iterable[tuple[int, Episodes]],
    per: Unit,
    end_id: int,
    limit: int | None = None,
    seeds: Sequence[Any] | None = None,
) -> Said:
    """All continuations in episodes.

    Args:
        parts: parts of the episodes, each with the index of its first episode.
        per: what a continuation is.
        end_id: the token that ends an utterance.
        limit: number of tokens at which an utterance is truncated, as in ``collate``.
        seeds: a seed for each episode, or None. Only episodes with the same seed have the same histories.
    """
    number: dict[tuple[Any, bytes], int] = {}
    columns: list[NDArray[np.int64]] = []  # each [4, c]
    for first, episodes in parts:
        taken = episodes.is_action.nonzero()[0]  # [K] positions of the actions
        row = episodes.offsets.searchsorted(taken, side="right") - 1  # [K] the episode of each
        begins = np.ones(len(taken), np.bool_)  # [K]
        begins[1:] = row[1:] > row[:-1]
        if per == "turn":
            begins = turn_begins(taken, episodes.tokens[taken], end_id, limit)
        at = begins.nonzero()[0]  # [c] among the K
        row, start = row[at], taken[at]  # [c] each
        stop = taken[np.append(at[1:], len(taken)) - 1] + 1 if len(at) else at  # [c]
        zero = episodes.offsets[row]  # [c] where their episodes start
        heard = [digest(episodes.tokens[a:b]) for a, b in zip(zero, start, strict=True)]
        key = [(None if seeds is None else seeds[first + r], h) for r, h in zip(row, heard, strict=True)]
        history = [number.setdefault(k, len(number)) for k in key]  # [c]
        columns.append(np.array([row + first, start - zero, stop - zero, history], np.int64))
    return Said(*np.concatenate(columns, 1))


ROUNDING = 1e-6  # returns count as equal below this relative difference, because rewards are in single precision


def best_with_worst(
    returns: NDArray[np.float64], group: NDArray[np.int64], most: int | None = None
) -> tuple[NDArray[np.int64], int]:
    """Pairs within groups, the better first.

    Args:
        returns: [C].
        group: [C], the group of each, from 0.
        most: the largest number of pairs of a group, those with the largest difference; None: all.

    Returns:
        The P pairs as indices into the C returns, [P, 2], and the number of pairs that were dropped as ties.
    """
    order = np.lexsort((-returns, group))  # [C] best first in each group, earlier first among equals
    count = np.bincount(group)  # [G]
    begin, size = (np.cumsum(count) - count)[group[order]], count[group[order]]  # [C] each
    rank = np.arange(len(order)) - begin  # [C]
    best = np.flatnonzero(rank < size // 2 if most is None else rank < np.minimum(size // 2, most))  # [P']
    worst = begin[best] + size[best] - 1 - rank[best]  # [P']
    pairs = np.stack([order[best], order[worst]], 1)  # [P', 2]
    better, worse = returns[pairs].T  # [P'] each
    differ = better - worse > ROUNDING * np.maximum(1, np.abs(better))  # [P']
    return pairs[differ], int((~differ).sum())


def cut(episodes: Episodes, start: NDArray[np.int64], stop: NDArray[np.int64]) -> Episodes:
    """Each episode up to position ``stop``; actions begin at ``start``, and the last token has the episode's return."""
    returns = episodes.returns
    shorter = []
    for b, (first, a, z) in enumerate(zip(episodes.offsets, start, stop, strict=False)):
        span = slice(first, first + z)
        is_action = episodes.is_action[span] & (np.arange(z) >= a)
        rewards = np.zeros(z, np.float32)
        rewards[-1] = returns[b]
        logprobs = (
            None if episodes.logprobs is None else np.where(is_action, episodes.logprobs[span], np.float32("nan"))
        )
        shorter.append(Episode(episodes.tokens[span], is_action, rewards, False, True, logprobs))
    return Episodes.from_list(shorter)


class LoggedPairs:
    """Pairs of a log, in epochs: an epoch has every pair once, in an order drawn from (seed, epoch).

    ``sample(n)`` returns ``n`` pairs as ``2 n`` episodes: 2 i is the better of pair i and 2 i + 1 the worse.

    Attributes:
        pairs: [P, 2], indices into ``found``.
        ties: number of pairs that were dropped because their returns are equal.

    Raises:
        ValueError: there is no pair.
    """

    needs_policy = False

    def __init__(
        self, source: Logged, per: Unit, end_id: int, most: int | None = None, limit: int | None = None
    ) -> None:
        self.source, self.seed, self.position = source, source.seed, 0
        self.found = said(pieces(source.data), per, end_id, limit)
        self.pairs, self.ties = best_with_worst(source.data.returns[self.found.row], self.found.history, most)
        if not len(self.pairs):
            raise ValueError(
                f"None of {len(source)} episodes can be paired: no two begin alike and differ in their returns "
                f"({self.ties} ties). Log more episodes from each starting state"
                f"{', or set per=' + repr('episode') if per == 'turn' else ''}."
            )

    def __len__(self) -> int:
        return len(self.pairs)

    def sample(self, n: int, policy: Policy | None = None, rows: range | None = None) -> Episodes:
        """The next ``n`` pairs, or only the ``rows`` of them; ``policy`` is not used."""
        due = self.position + np.arange(n)[slice(None) if rows is None else slice(rows.start, rows.stop)]  # [n]
        epoch, place = np.divmod(due, len(self.pairs))  # [n] each
        drawn = [
            np.random.default_rng((self.seed, int(e))).permutation(len(self.pairs))[place[epoch == e]]
            for e in np.unique(epoch)
        ]
        self.position += n
        which = self.pairs[np.concatenate([due[:0], *drawn])].reshape(-1)  # [2 n]
        episodes = self.source.data.rows(self.found.row[which])
        return cut(episodes, self.found.start[which], self.found.stop[which])

    def check_tokenizer(self, tokenizer: PreTrainedTokenizerFast) -> None:
        """Compares with the log's tokenizer."""
        self.source.check_tokenizer(tokenizer)

    def state_dict(self) -> dict[str, Any]:
        """Seed and position, and the number of pairs, by which other data are recognised."""
        return {"seed": self.seed, "position": self.position, "pairs": len(self)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from ``state``.

        Raises:
            ValueError: if it is the state of another kind of source, or of other pairs.
        """
        if state.get("pairs") != len(self):
            raise ValueError(
                f"The saved position belongs to another kind of source or to other pairs: {state} is not of these "
                f"{len(self)} pairs. Pass the same data with the same settings, or start a new run."
            )
        self.seed, self.position = state["seed"], state["position"]


class LivePairs(Around):
    """Pairs of episodes that are played on request, ``samples`` episodes from each seed.

    ``sample(n)`` returns ``n`` pairs as ``2 n`` episodes, at most ``samples // 2`` pairs from each seed. If too few
    episodes of a seed differ in their returns, the missing pairs are an episode paired with itself: a tie, which has no
    gradient.
    """

    needs_policy = True

    def __init__(
        self, live: Live, per: Unit, end_id: int, samples: int, most: int | None = None, limit: int | None = None
    ) -> None:
        super().__init__(live)
        self.live, self.per, self.end_id, self.samples = live, per, end_id, samples
        self.most, self.limit = most, limit

    def sample(self, n: int, policy: Policy | None = None, rows: range | None = None) -> Episodes:
        """Plays the next ``n`` pairs, or only the ``rows`` of them; all episodes of their seeds are played."""
        live, k, rows = self.live, self.samples, range(n) if rows is None else rows
        before = live.played
        each = min(k // 2, k if self.most is None else self.most)
        seeds = range(rows.start // each, -(-rows.stop // each))
        played = Repeated(live, k).sample(-(-n // each) * k, policy, range(seeds.start * k, seeds.stop * k))
        found = said([(0, played)], self.per, self.end_id, self.limit, [info["seed"] for info in played.info])
        pairs, _ = best_with_worst(played.returns[found.row], found.history, self.most)
        seed = seeds.start + found.row // k  # [C]
        chosen = [np.empty((0, 2), np.int64)]
        for s in seeds:
            rng = np.random.default_rng((live.first // EPISODES, before, s))
            ours = rng.permutation(pairs[seed[pairs[:, 0]] == s])[:each]  # [<= each, 2]
            tie = np.full((each - len(ours), 2), (seed == s).argmax())
            chosen += [ours, tie]
        skipped = rows.start - seeds.start * each
        which = np.concatenate(chosen)[skipped : skipped + len(rows)].reshape(-1)  # [2 n]
        episodes = Episodes.from_list([played[row] for row in found.row[which]])
        return cut(episodes, found.start[which], found.stop[which])
