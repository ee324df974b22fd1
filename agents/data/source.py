"""Sources of episodes: a log, a live environment, or a mixture of both, with the same interface."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from datasets_builders.dataset import EpisodeDataset
from lang_envs.episode import Episode, Episodes
from lang_envs.make import language_vec
from lang_envs.rollout import Policy, rollout
from lang_envs.seeds import LIVE, Seeds
from lang_envs.tokenizers import fingerprint

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from lang_envs.vector import TokenVectorEnv


class Source(Protocol):
    """The interface of all sources of episodes."""

    needs_policy: bool
    """whether ``sample`` plays episodes with the policy that it gets"""

    def sample(self, n: int, policy: Policy | None = None, rows: range | None = None) -> Episodes:
        """Returns the next ``n`` episodes, or only the ``rows`` of them.

        The source advances by ``n`` in both cases. Several processes with different rows therefore share the episodes
        that a single process would get, and each reads or plays only its own.

        Args:
            n: number of episodes.
            policy: plays the episodes, if ``needs_policy``.
            rows: indices below ``n`` in steps of 1; None: all.
        """
        ...

    def check_tokenizer(self, tokenizer: PreTrainedTokenizerFast) -> None:
        """Raises ValueError if the episodes have other tokens than ``tokenizer``'s."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """The source's position in its sequence of episodes; JSON-able."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from a state of ``state_dict``, with exactly the episodes that would have come next."""
        ...


class Around:
    """The common part of sources that are made from another one: they have its tokenizer and its position."""

    def __init__(self, source: Source) -> None:
        self.source = source

    def check_tokenizer(self, tokenizer: PreTrainedTokenizerFast) -> None:
        """Compares with the other source's tokenizer."""
        self.source.check_tokenizer(tokenizer)

    def state_dict(self) -> dict[str, Any]:
        """The position of the other source."""
        return self.source.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues the other source."""
        self.source.load_state_dict(state)


class Logged:
    """Recorded episodes in epochs: an epoch has every episode once, in an order drawn from (seed, epoch).

    Args:
        data: a data set, the path of one, or episodes in memory.
        seed: seed of the order.
    """

    needs_policy = False

    def __init__(self, data: EpisodeDataset | Sequence[Episode] | str | Path, seed: int = 0) -> None:
        if isinstance(data, (str, Path)):
            data = EpisodeDataset.load(data)
        self.data = data if isinstance(data, EpisodeDataset) else EpisodeDataset.from_episodes(data)
        self.seed, self.epoch, self.position = seed, 0, 0
        self._order = self._shuffled()  # [N] rows of ``data``

    def __len__(self) -> int:
        return len(self.data)

    def filter(self, min_return: float | None = None, top_fraction: float | None = None) -> Logged:
        """A source of the best episodes only, at its first epoch; see ``EpisodeDataset.filter``."""
        return Logged(self.data.filter(min_return, top_fraction), self.seed)

    def sample(self, n: int, policy: Policy | None = None, rows: range | None = None) -> Episodes:
        """Returns the next ``n`` episodes, which may be of several epochs; ``policy`` is not used."""
        taken: list[NDArray[np.int64]] = []
        while n > 0:
            if self.position == len(self._order):
                self.epoch, self.position = self.epoch + 1, 0
                self._order = self._shuffled()
            part = self._order[self.position : self.position + n]
            self.position += len(part)
            n -= len(part)
            taken.append(part)
        due = taken[0] if len(taken) == 1 else np.concatenate(taken)  # [n]
        return self.data.rows(due if rows is None else due[rows.start : rows.stop])

    def _shuffled(self) -> NDArray[np.int64]:
        return np.random.default_rng((self.seed, self.epoch)).permutation(len(self))

    def check_tokenizer(self, tokenizer: PreTrainedTokenizerFast) -> None:
        """Compares with the tokenizer of the recording, if the data name one; episodes in memory may not."""
        if "tokenizer" in self.data.provenance:
            self.data.require(tokenizer)

    def state_dict(self) -> dict[str, Any]:
        """Seed, epoch and position, and the number of episodes, by which other data are recognised."""
        return {"seed": self.seed, "epoch": self.epoch, "position": self.position, "episodes": len(self)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from ``state``.

        Raises:
            ValueError: if it is the state of another kind of source, or of other data.
        """
        _check_keys(self, state)
        if state["episodes"] != len(self):
            raise ValueError(
                f"The saved position belongs to a data set of {state['episodes']} episodes, but this one has "
                f"{len(self)}. Pass the same data, with the same filter, or start a new run."
            )
        self.seed, self.epoch, self.position = state["seed"], state["epoch"], state["position"]
        self._order = self._shuffled()


class Live:
    """Episodes that the policy in training plays on request.

    Episode i has the environment seed ``first + i``. All seeds differ, and none is used by a data set or an evaluation
    (``lang_envs.seeds``).

    Args:
        env: an environment id, or a vector environment.
        num_envs: number of episodes that are played at once, if ``env`` is an id.
        seed: which part of the range ``seeds`` to play; below 2 ** 28.
        seeds: the range of environment seeds for this purpose.

    Attributes:
        played: number of episodes played so far.

    Raises:
        ValueError: there is no such seed.
    """

    needs_policy = True

    def __init__(self, env: str | TokenVectorEnv, num_envs: int = 64, seed: int = 0, seeds: Seeds = LIVE) -> None:
        if isinstance(env, str):
            env = language_vec(env, num_envs)
        self.env, self.seeds = env, seeds
        self.seed, self.played = seed, 0
        self.seeds.first(seed)  # raises now and not during training

    @property
    def first(self) -> int:
        """The environment seed of the source's first episode."""
        return self.seeds.first(self.seed)

    def sample(self, n: int, policy: Policy | None = None, rows: range | None = None) -> Episodes:
        """Plays the next ``n`` episodes with ``policy``, or only the ``rows`` of them.

        Raises:
            ValueError: if there is no policy.
        """
        if policy is None:
            raise ValueError("A live source plays its episodes: pass a policy, as in sample(n, agent.policy()).")
        first = self.first + self.played
        seeds = range(first, first + n) if rows is None else range(first + rows.start, first + rows.stop)
        episodes = Episodes.from_list(list(rollout(self.env, policy, seeds)))
        self.played += n
        return episodes

    def check_tokenizer(self, tokenizer: PreTrainedTokenizerFast) -> None:
        """Compares with the environment's tokenizer."""
        if fingerprint(self.env.tokenizer) != fingerprint(tokenizer):
            raise ValueError(
                f"The environment's tokenizer ({len(self.env.tokenizer)} tokens) is not the agent's ({len(tokenizer)} "
                "tokens): the same ids would be other words. Build the language model for this environment, or pass "
                "make_vec the agent's tokenizer."
            )

    def state_dict(self) -> dict[str, Any]:
        """The seed and the number of episodes played."""
        return {"seed": self.seed, "played": self.played}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues with the seed after the last one played.

        Raises:
            ValueError: if it is the state of another kind of source.
        """
        _check_keys(self, state)
        self.seed, self.played = state["seed"], state["played"]


class Mixed:
    """Logged and live episodes: ``logged_fraction`` of all episodes come from the log, the rest are played.

    The fraction holds over the whole run: of requests for one episode each, with a fraction of a half, every second
    returns a logged episode. It also holds for the rows of each process, because logged and live episodes alternate.

    Args:
        logged: usually a :class:`Logged`.
        live: usually a :class:`Live`.
        logged_fraction: in [0, 1].

    Raises:
        ValueError: ``logged_fraction`` is not in [0, 1].
    """

    def __init__(self, logged: Source, live: Source, logged_fraction: float = 0.5) -> None:
        if not 0 <= logged_fraction <= 1:
            raise ValueError(f"logged_fraction must lie in [0, 1], not {logged_fraction}.")
        self.logged, self.live, self.logged_fraction = logged, live, logged_fraction
        self.needs_policy = logged.needs_policy or live.needs_policy
        self.sampled = 0

    def sample(self, n: int, policy: Policy | None = None, rows: range | None = None) -> Episodes:
        """Returns the next ``n`` episodes, or only the ``rows`` of them; the logged ones first."""
        before, self.sampled = self.sampled, self.sampled + n
        rows = range(n) if rows is None else rows

        def logged(i: int) -> int:
            """The number of logged episodes among the first ``i`` of the ``n``."""
            return math.floor((before + i) * self.logged_fraction) - math.floor(before * self.logged_fraction)

        first, last = logged(rows.start), logged(rows.stop)
        shares = (
            (self.logged, logged(n), range(first, last)),
            (self.live, n - logged(n), range(rows.start - first, rows.stop - last)),
        )
        return Episodes.concat([source.sample(k, policy, part) for source, k, part in shares if k])

    def check_tokenizer(self, tokenizer: PreTrainedTokenizerFast) -> None:
        """Compares with the tokenizers of both sources."""
        self.logged.check_tokenizer(tokenizer)
        self.live.check_tokenizer(tokenizer)

    def state_dict(self) -> dict[str, Any]:
        """The states of both sources, and the number of episodes returned so far."""
        return {"sampled": self.sampled, "logged": self.logged.state_dict(), "live": self.live.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues both sources.

        Raises:
            ValueError: if it is the state of another kind of source.
        """
        _check_keys(self, state)
        self.sampled = state["sampled"]
        self.logged.load_state_dict(state["logged"])
        self.live.load_state_dict(state["live"])


def _check_keys(source: Source, state: dict[str, Any]) -> None:
    expected = source.state_dict().keys()
    if state.keys() != expected:
        raise ValueError(
            f"{type(source).__name__} continues from a state with {sorted(expected)}, but got {sorted(state)}: "
            "it was saved by another kind of source. Pass the kind the run was started with, or start a new run."
        )
