"""The starts of evaluation episodes: the seeds and contexts on which decodings are chosen, and the reported ones.

A deterministic policy says the same whenever a context comes again. A repetition is no second result, so such a policy
plays each context at most once. Contexts on which decodings were chosen are not reported.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lang_envs.rollout import Start
from lang_envs.seeds import REPORT, SELECTION

if TYPE_CHECKING:
    from agents.benchmark.experiment import Experiment
    from lang_envs.vector import TokenVectorEnv

Contexts = NDArray[np.int64]
_SPLIT = 20_230  # seed of the generator that splits contexts, the same for every experiment


@dataclass(frozen=True)
class Part:
    """The episodes for one purpose: selection or report."""

    first_seed: int
    episodes: int
    """number of episodes of a policy that samples"""
    contexts: tuple[int, ...] | None = None
    """contexts to start from, in order; None: the seeds draw them"""

    def starts(self, once: bool = False) -> list[Start]:
        """The starts, the same for every policy; the numbers of episodes from two contexts differ by at most one.

        Args:
            once: whether each context is played at most once, as deterministic policies do.
        """
        seeds = range(self.first_seed, self.first_seed + self.episodes)
        if self.contexts is None:
            return [Start(seed) for seed in seeds]
        count = min(self.episodes, len(self.contexts)) if once else self.episodes
        return [Start(seed, context=self.contexts[i % len(self.contexts)]) for i, seed in enumerate(seeds[:count])]


def selection(experiment: Experiment, env: TokenVectorEnv) -> Part:
    """The episodes on which decodings are chosen; ``env`` is the environment for the selection."""
    contexts = _split(experiment, env)[0] if are_split(experiment, env) else _all(env)
    return _part(SELECTION.first(), experiment.selection_episodes, contexts)


def report(experiment: Experiment, env: TokenVectorEnv) -> Part:
    """The reported episodes, the same for every agent and baseline; ``env`` is the experiment's environment."""
    contexts = _split(experiment, env)[1] if are_split(experiment, env) else _all(env)
    return _part(REPORT.first(), experiment.episodes, contexts)


def elsewhere(reported: Part, env: TokenVectorEnv, other: TokenVectorEnv) -> Part:
    """The reported episodes in another environment: the same contexts if it has as many, otherwise all of its own."""
    if env.task.num_contexts == other.task.num_contexts:
        return reported
    return _part(reported.first_seed, reported.episodes, _all(other))


def anywhere(env: TokenVectorEnv, first_seed: int, episodes: int) -> Part:
    """Episodes from all contexts of an environment, for the seeds from ``first_seed`` on."""
    return _part(first_seed, episodes, _all(env))


def are_split(experiment: Experiment, env: TokenVectorEnv) -> bool:
    """Whether the contexts of one environment are split between selection and report.

    They are if both play in the same environment, it has several contexts, and the experiment's ``split_starts`` is
    True. A single context serves both. If the environments differ, as two splits of a corpus do, each uses all its
    contexts.
    """
    same = experiment.selection_options in (None, experiment.env_options)
    return experiment.split_starts and same and (env.task.num_contexts or 0) > 1


def _split(experiment: Experiment, env: TokenVectorEnv) -> tuple[Contexts, Contexts]:
    """Contexts for the selection, one for each of its episodes but at most half of all; and the rest for the report."""
    contexts = np.random.default_rng(_SPLIT).permutation(env.task.num_contexts or 0)
    chosen = min(experiment.selection_episodes, len(contexts) // 2)
    return contexts[:chosen], contexts[chosen:]


def _all(env: TokenVectorEnv) -> Contexts | None:
    return None if env.task.num_contexts is None else np.arange(env.task.num_contexts)


def _part(first_seed: int, episodes: int, contexts: Contexts | None) -> Part:
    """A part with shuffled contexts, so that a few episodes come from the whole corpus and not from its beginning."""
    if contexts is None:
        return Part(first_seed, episodes)
    return Part(first_seed, episodes, tuple(np.random.default_rng(first_seed).permutation(contexts).tolist()))
