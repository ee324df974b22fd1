"""Where episodes come from. An agent cannot tell logged data from a live environment, or from a mixture of both."""

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
    """Anything that hands out episodes."""

    needs_policy: bool
    """whether ``sample`` plays with the policy it is given"""

    def sample(self, n: int, policy: Policy | None = None, rows: range | None = None) -> Episodes:
        """Returns the next ``n`` episodes, or of those the ``rows``.

        All ``n`` count as handed out. So several processes, each with rows of its own, share what one would get, and
        none reads or plays what another does.

        Args:
            n: how many.
            policy: plays them, where the source needs one.
            rows: numbers below ``n`` in steps of 1; None: all.
        """
        ...

    def check_tokenizer(self, tokenizer: PreTrainedTokenizerFast) -> None:
        """Raises ValueError, in words, where the episodes are written in other tokens than ``tokenizer``'s."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Where in its sequence of episodes the source is; JSON-able."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from there, with exactly the episodes that would have come next."""
        ...


class Around:
    """What every source that is made of another one shares with it: its tokens, and how far it is."""

    def __init__(self, source: Source) -> None:
        self.source = source

    def check_tokenizer(self, tokenizer: PreTrainedTokenizerFast) -> None:
        """The other source's."""
        self.source.check_tokenizer(tokenizer)

    def state_dict(self) -> dict[str, Any]:
        """The other source's."""
        return self.source.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues the other source."""
        self.source.load_state_dict(state)


class Logged:
    """Recorded episodes in epochs: each epoch hands out every episode once, in an order drawn from (seed, epoch).

    Args:
        data: a data set, the path of one, or episodes in memory.
        seed: of the order.
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
        """The best episodes only, from their first epoch on; see ``EpisodeDataset.filter``."""
        return Logged(self.data.filter(min_return, top_fraction), self.seed)

    def sample(self, n: int, policy: Policy | None = None, rows: range | None = None) -> Episodes:
        """Returns the next ``n`` episodes, going on to the next epoch where one ends; ``policy`` is not used."""
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
        """Compares with the tokenizer the data were recorded with; episodes in memory may come without one."""
        if "tokenizer" in self.data.provenance:
            self.data.require(tokenizer)

    def state_dict(self) -> dict[str, Any]:
        """Seed, epoch and position; the number of episodes is kept to recognise other data."""
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
    """Episodes played on demand by the policy that is learning.

    Episode i is played with the environment seed ``first + i``, so no two are the same, and none is one of a data set
    or of an evaluation (``lang_envs.seeds``).

    Args:
        env: an environment id, or a vector environment.
        num_envs: how many episodes are played at once, where ``env`` is an id.
        seed: which of the ``seeds`` to play; below 2 ** 28.
        seeds: what they are set aside for.

    Attributes:
        played: how many episodes were, so far.

    Raises:
        ValueError: there is no such seed.
    """

    needs_policy = True

    def __init__(self, env: str | TokenVectorEnv, num_envs: int = 64, seed: int = 0, seeds: Seeds = LIVE) -> None:
        if isinstance(env, str):
            env = language_vec(env, num_envs)
        self.env, self.seeds = env, seeds
        self.seed, self.played = seed, 0
        self.seeds.first(seed)  # refuses it now and not in the midst of a training

    @property
    def first(self) -> int:
        """The environment seed of its first episode."""
        return self.seeds.first(self.seed)

    def sample(self, n: int, policy: Policy | None = None, rows: range | None = None) -> Episodes:
        """Plays the next ``n`` episodes with ``policy``, or of those the ``rows``.

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
        """The seed and how many episodes were played."""
        return {"seed": self.seed, "played": self.played}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues with the seed after the last one played.

        Raises:
            ValueError: if it is the state of another kind of source.
        """
        _check_keys(self, state)
        self.seed, self.played = state["seed"], state["played"]


class Mixed:
    """From offline to online: ``logged_fraction`` of all episodes come from the log, the rest are played.

    The fraction holds over the whole run and not only within one request: half of 1, asked for again and again, is a
    logged episode every other time. It holds for any rows of a request too: logged and live ones take turns.

    Args:
        logged: usually a :class:`Logged`.
        live: usually a :class:`Live`.
        logged_fraction: in [0, 1].

    Raises:
        ValueError: where the fraction is outside of that.
    """

    def __init__(self, logged: Source, live: Source, logged_fraction: float = 0.5) -> None:
        if not 0 <= logged_fraction <= 1:
            raise ValueError(f"logged_fraction must lie in [0, 1], not {logged_fraction}.")
        self.logged, self.live, self.logged_fraction = logged, live, logged_fraction
        self.needs_policy = logged.needs_policy or live.needs_policy
        self.sampled = 0

    def sample(self, n: int, policy: Policy | None = None, rows: range | None = None) -> Episodes:
        """Returns the next ``n`` episodes, or of those the ``rows``; the logged ones first."""
        before, self.sampled = self.sampled, self.sampled + n
        rows = range(n) if rows is None else rows

        def logged(i: int) -> int:
            """How many of the first ``i`` of the ``n`` are."""
            return math.floor((before + i) * self.logged_fraction) - math.floor(before * self.logged_fraction)

        first, last = logged(rows.start), logged(rows.stop)
        shares = (
            (self.logged, logged(n), range(first, last)),
            (self.live, n - logged(n), range(rows.start - first, rows.stop - last)),
        )
        return Episodes.concat([source.sample(k, policy, part) for source, k, part in shares if k])

    def check_tokenizer(self, tokenizer: PreTrainedTokenizerFast) -> None:
        """Compares with both."""
        self.logged.check_tokenizer(tokenizer)
        self.live.check_tokenizer(tokenizer)

    def state_dict(self) -> dict[str, Any]:
        """The states of both, and how many episodes were asked for."""
        return {"sampled": self.sampled, "logged": self.logged.state_dict(), "live": self.live.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues both.

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
