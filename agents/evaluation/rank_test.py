"""Does a value function rank the opening with the best outcome above the opening that is better on average?

The test of multi-step improvement of Snell et al. 2023 (arXiv 2206.11871, section 5: "fraction of Q values where
[S0 => S2] > [S0 => S1]"), computed exactly. The original draws pairs of an expert's and a suboptimal player's first
word from the data and compares Q(s, a) at one token of the word. Here the values of every distinct word are computed
once, in one forward pass, and pairs are weighted by their frequency in the data,

    score_k = sum_w sum_u  better(w) worse(u) 1[Q_k(w) > Q_k(u)]             a tie is not a win

where Q_k(w) is Q(s, a) of the (last - k)-th token of the word: offset 0 is the end token, offset 5 the first letter of
a five-letter word. The results also contain the score of an ideal SARSA (the behaviour's tabular values), the highest
score that any value function can reach (words with a common prefix have a common value there), and the values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lang_envs.episode import Episode, Episodes
from lang_envs.progress import counted
from lang_envs.rollout import Policy, Start, rollout

if TYPE_CHECKING:
    from agents.models.value_lm import ValueLM
    from datasets_builders.dataset import EpisodeDataset
    from lang_envs.vector import TokenVectorEnv

Floats = NDArray[np.float64]
BLOCK = 8192  # episodes read at a time


def discounted_returns(episodes: Episodes, gamma: float) -> Floats:
    """Returns [B] from the first action on: a reward is discounted once for each agent token before it."""
    count = np.cumsum(episodes.is_action)  # [N] actions up to and including each token
    first = episodes.offsets[:-1]  # [B]
    before: NDArray[np.int64] = count[first] - episodes.is_action[first]  # [B] actions of all earlier episodes
    lengths = np.diff(episodes.offsets)  # [B]
    steps = count - 1 - np.repeat(before, lengths)  # [N] place of each action within its episode
    paid = np.where(episodes.is_action, gamma ** np.maximum(steps, 0), 0.0) * episodes.rewards  # [N]
    return np.add.reduceat(paid, first)


def first_utterances(episodes: Episodes, end_id: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """The opening observation [P] and the first utterance of every episode [B, L].

    Raises:
        ValueError: episodes start differently, or their first utterances differ in length.
    """
    one = episodes[0]
    start = int(np.argmax(one.is_action))
    ends = np.flatnonzero(one.is_action & (one.tokens == end_id))
    length = int(ends[0]) - start + 1 if len(ends) else 0
    lengths = np.diff(episodes.offsets)  # [B]
    if length == 0 or (lengths < start + length).any():
        raise ValueError("The rank test needs episodes with a complete first utterance; at least one is cut.")
    index = episodes.offsets[:-1, None] + np.arange(start + length)  # [B, P + L]
    tokens, acted = episodes.tokens[index], episodes.is_action[index]  # [B, P + L]
    opening, words = tokens[:, :start], tokens[:, start:]
    ended = words == end_id  # [B, L]
    if not ended[:, -1].all() or ended[:, :-1].any():
        raise ValueError(f"The rank test needs first utterances of one length ({length} tokens here); some differ.")
    if (opening != opening[0]).any() or acted[:, :start].any() or not acted[:, start:].all():
        raise ValueError(
            "The rank test compares first utterances from one common opening; these episodes open differently."
        )
    return opening[0], words


def win_rate(values: Floats, better: Floats, worse: Floats) -> float:
    """P[value of a draw from ``better`` > value of a draw from ``worse``]; values and both distributions are [W]."""
    order = np.argsort(values, kind="stable")  # [W]
    below = np.concatenate([[0.0], np.cumsum(worse[order])])  # [W + 1] mass of the first n words
    smaller = np.searchsorted(values[order], values, side="left")  # [W] how many words are strictly below each
    return float(better @ below[smaller])


@dataclass(frozen=True, eq=False)
class RankTest:
    """The first utterances of a data set, their shares in two groups of episodes, and their returns.

    Attributes:
        opening: tokens before the first utterance [P].
        words: distinct first utterances, end token included [W, L].
        better: share of each word [W] as the opening in the group that should rank higher.
        worse: the same in the other group [W].
        behaviour: mean discounted return in the data from the (last - k)-th token of each word on, over all episodes
            that share the word up to that token [L, W]; row k is the value an ideal SARSA learns at offset k.
        start_value: mean discounted return of all episodes from their first token on.
        gamma: discount per agent token.
    """

    opening: NDArray[np.int32]
    words: NDArray[np.int32]
    better: Floats
    worse: Floats
    behaviour: Floats
    start_value: float
    gamma: float

    @classmethod
    def from_dataset(
        cls,
        dataset: EpisodeDataset,
        end_id: int,
        gamma: float = 0.99,
        better: str = "expert",
        worse: str = "suboptimal",
    ) -> RankTest:
        """Makes the test from a data set whose episodes name their policy in ``info["policy"]``.

        Raises:
            ValueError: one of the groups is empty, or the first utterances cannot be compared.
        """
        words, returns, labels = [], [], []
        opening = np.empty(0, dtype=np.int32)
        for first in range(0, len(dataset), BLOCK):
            episodes = dataset.rows(np.arange(first, min(first + BLOCK, len(dataset))), info=True)
            opening, said = first_utterances(episodes, end_id)
            words.append(said)
            returns.append(discounted_returns(episodes, gamma))
            labels += [info.get("policy") for info in episodes.info]
        return cls.from_columns(opening, np.concatenate(words), np.concatenate(returns), labels, gamma, better, worse)

    @classmethod
    def from_columns(
        cls,
        opening: NDArray[np.int32],
        words: NDArray[np.int32],
        returns: Floats,
        labels: Sequence[str | None],
        gamma: float = 0.99,
        better: str = "expert",
        worse: str = "suboptimal",
    ) -> RankTest:
        """The same from columns: first utterances [B, L], discounted returns [B] and the policy of each episode [B]."""
        distinct, word = np.unique(words, axis=0, return_inverse=True)  # [W, L], [B]
        word = word.reshape(-1)
        policy = np.array(labels, dtype=object)  # [B]
        laws = []
        for name in (better, worse):
            counts = np.bincount(word[policy == name], minlength=len(distinct)).astype(np.float64)  # [W]
            if not counts.any():
                known = ", ".join(sorted({str(label) for label in labels}))
                raise ValueError(f"No episode is labelled {name!r}; the policies in this data set are: {known}.")
            laws.append(counts / counts.sum())
        length = distinct.shape[1]
        behaviour = np.empty((length, len(distinct)))  # [L, W]
        for k in range(length):
            # Between the start and the (last - k)-th token nothing is paid, only discounted.
            ahead = returns / gamma ** (length - 1 - k)  # [B]
            _, prefix = np.unique(distinct[:, : length - k], axis=0, return_inverse=True)  # [W]
            group = prefix.reshape(-1)[word]  # [B]
            mean = np.bincount(group, ahead) / np.bincount(group)
            behaviour[k] = mean[prefix.reshape(-1)]
        return cls(opening, distinct, laws[0], laws[1], behaviour, float(returns.mean()), gamma)

    @property
    def ideal_sarsa(self) -> list[float]:
        """The score of the behaviour's values at each offset [L]."""
        return [win_rate(values, self.better, self.worse) for values in self.behaviour]

    @property
    def ceiling(self) -> list[float]:
        """The highest score that any value function can reach at each offset [L].

        Words that agree up to the compared token have the same value. The best order of the prefixes is by the ratio of
        their probabilities in the two groups (Neyman and Pearson's lemma).
        """
        scores = []
        for k in range(self.words.shape[1]):
            prefixes, group = np.unique(self.words[:, : self.words.shape[1] - k], axis=0, return_inverse=True)
            better, worse = np.zeros(len(prefixes)), np.zeros(len(prefixes))  # [prefixes] each
            np.add.at(better, group.reshape(-1), self.better)
            np.add.at(worse, group.reshape(-1), self.worse)
            order = np.argsort(np.arctan2(better, worse), kind="stable")  # arctan2: a ratio that may be infinite
            scores.append(win_rate(np.argsort(order).astype(np.float64), better, worse))  # ranks: no ties
        return scores

    def tabular(self, dataset: EpisodeDataset, tau: float) -> dict[str, Any]:
        """The fixed point of ILQL on this log with one table entry per history: no network, no generalisation.

        Args:
            dataset: the one the test was made from.
            tau: the expectile.

        Returns:
            As :meth:`measure`, with ``target`` only.
        """
        from agents.evaluation.tabular import tabular_values

        episodes = dataset.rows(np.arange(len(dataset)))
        q, v = tabular_values(episodes, tau, self.gamma)  # [N] each
        start, length = len(self.opening), self.words.shape[1]
        index = episodes.offsets[:-1, None] + start + np.arange(length)  # [B, L] the first utterance's tokens
        _, one = np.unique(
            episodes.tokens[index], axis=0, return_index=True
        )  # [W] an episode that opens with each word
        values = q[index[one]]  # [W, L]
        return {
            "target": [win_rate(values[:, -1 - k], self.better, self.worse) for k in range(length)],
            "start": float(v[start]),
            "better": float(self.better @ values[:, -1]),
            "worse": float(self.worse @ values[:, -1]),
        }

    def yardsticks(self) -> dict[str, float]:
        """The behaviour's values of the two groups at the end token, and of the start."""
        return {
            "start": self.start_value,
            "better": float(self.better @ self.behaviour[0]),
            "worse": float(self.worse @ self.behaviour[0]),
        }

    def episodes(self) -> Episodes:
        """Each word as an episode cut after it: what the values are read from."""
        start, length = len(self.opening), self.words.shape[1]
        acted = np.arange(start + length) >= start  # [P + L]
        rewards = np.zeros(start + length, dtype=np.float32)
        whole = np.concatenate([np.tile(self.opening, (len(self.words), 1)), self.words], axis=1)  # [W, P + L]
        return Episodes.from_list(
            [Episode(row, acted, rewards, terminated=False, truncated=True) for row in whole.astype(np.int32)]
        )

    def measure(self, model: ValueLM, pad_id: int, end_id: int) -> dict[str, Any]:
        """Scores a value model: online and target Q at every offset, and the values themselves.

        One forward pass over all distinct words, on the model's device.

        Returns:
            ``online`` and ``target``: scores [L]; ``start``: V before the first token; ``better``, ``worse``: mean
            target Q at the end token of the two groups.
        """
        import torch

        from agents.data.batch import collate

        batch = collate(self.episodes(), pad_id, end_id).to(model.device)
        was_training = model.training
        model.eval()
        with torch.inference_mode():
            x = model.values(batch)
            smaller = torch.stack(x.q).amin(0)  # [W * L]
            online, target = (batch.in_rows(q).double().cpu().numpy() for q in (smaller, x.target_q))  # [W, L] each
            start = float(x.v[0])
        model.train(was_training)
        rows = range(self.words.shape[1])
        return {
            "online": [win_rate(online[:, -1 - k], self.better, self.worse) for k in rows],
            "target": [win_rate(target[:, -1 - k], self.better, self.worse) for k in rows],
            "start": start,
            "better": float(self.better @ target[:, -1]),
            "worse": float(self.worse @ target[:, -1]),
        }

    def values_of(
        self, env: TokenVectorEnv, policy: Policy, seeds: Sequence[int], rng: np.random.Generator
    ) -> dict[str, float]:
        """The return of ``policy`` from the start, and after a first word of either group, from one game for each seed.

        Returns:
            ``start``: mean discounted return; ``better`` and ``worse``: mean discounted return from the end token of
            the first word on. For the optimal policy these are the optimal values.
        """
        result = {}
        for name, law in (("start", None), ("better", self.better), ("worse", self.worse)):
            starts, skipped = [Start(seed) for seed in seeds], 0
            if law is not None:
                drawn = rng.choice(len(self.words), size=len(seeds), p=law)  # [seeds]
                starts = [Start(seed, said=(self.words[w],)) for seed, w in zip(seeds, drawn, strict=True)]
                skipped = self.words.shape[1] - 1  # tokens before the one the value is of
            games = counted("playing for yardsticks", len(starts), rollout(env, policy, starts))
            played = Episodes.from_list(list(games))
            result[name] = float(discounted_returns(played, self.gamma).mean()) / self.gamma**skipped
        return result
