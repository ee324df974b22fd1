"""Where evaluation episodes start: which seeds and contexts decodings are chosen by, and which are reported.

A deterministic policy says the same thing again where a context comes again, and what it says a second time is no
second result: it plays each context once. Contexts that a decoding was chosen by are not reported.
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
_SPLIT = 20_230  # of the generator that splits contexts, the same for every experiment


@dataclass(frozen=True)
class Part:
    """The episodes of one purpose."""

    first_seed: int
    episodes: int
    """how many a policy that draws what it says plays"""
    contexts: tuple[int, ...] | None = None
    """where they start, in order; None: wherever their seeds say"""

    def starts(self, once: bool = False) -> list[Start]:
        """Where they start: each context as often as any other, or one time less, in the same order for everyone.

        Args:
            once: whether each context is played once at most, as for policies that repeat themselves.
        """
        seeds = range(self.first_seed, self.first_seed + self.episodes)
        if self.contexts is None:
            return [Start(seed) for seed in seeds]
        count = min(self.episodes, len(self.contexts)) if once else self.episodes
        return [Start(seed, context=self.contexts[i % len(self.contexts)]) for i, seed in enumerate(seeds[:count])]


def selection(experiment: Experiment, env: TokenVectorEnv) -> Part:
    """The episodes that decodings are chosen by, in the environment where that is done."""
    contexts = _split(experiment, env)[0] if are_split(experiment, env) else _all(env)
    return _part(SELECTION.first(), experiment.selection_episodes, contexts)


def report(experiment: Experiment, env: TokenVectorEnv) -> Part:
    """The episodes that are reported, in the experiment's environment: the same for every agent and baseline."""
    contexts = _split(experiment, env)[1] if are_split(experiment, env) else _all(env)
    return _part(REPORT.first(), experiment.episodes, contexts)


def elsewhere(reported: Part, env: TokenVectorEnv, other: TokenVectorEnv) -> Part:
    """The reported episodes in another environment: the same contexts where it has as many, or else all of its own."""
    if env.task.num_contexts == other.task.num_contexts:
        return reported
    return _part(reported.first_seed, reported.episodes, _all(other))


def anywhere(env: TokenVectorEnv, first_seed: int, episodes: int) -> Part:
    """Episodes from all contexts of an environment, for the seeds from ``first_seed`` on."""
    return _part(first_seed, episodes, _all(env))


def are_split(experiment: Experiment, env: TokenVectorEnv) -> bool:
    """Whether choice and report have contexts of their own in one environment.

    They do where both play in the same and it has several, unless the experiment says otherwise. A single context
    serves both. Where the environments differ, as by a split of the corpus, each has all contexts of its own.
    """
    same = experiment.selection_options in (None, experiment.env_options)
    return experiment.split_starts and same and (env.task.num_contexts or 0) > 1


def _split(experiment: Experiment, env: TokenVectorEnv) -> tuple[Contexts, Contexts]:
    """Contexts for the choice, at most half of all and one for each of its episodes, and the others for the report."""
    contexts = np.random.default_rng(_SPLIT).permutation(env.task.num_contexts or 0)
    chosen = min(experiment.selection_episodes, len(contexts) // 2)
    return contexts[:chosen], contexts[chosen:]


def _all(env: TokenVectorEnv) -> Contexts | None:
    return None if env.task.num_contexts is None else np.arange(env.task.num_contexts)


def _part(first_seed: int, episodes: int, contexts: Contexts | None) -> Part:
    """Contexts are shuffled, so that fewer episodes than there are contexts come from all over the corpus."""
    if contexts is None:
        return Part(first_seed, episodes)
    return Part(first_seed, episodes, tuple(np.random.default_rng(first_seed).permutation(contexts).tolist()))
