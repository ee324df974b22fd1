"""Several replies to the same contexts: samples of policies, the best beams of a search, and human replies.

All episodes of a context have the same start, so that the replies can be compared: for best-of-n, for preferences (see
:mod:`datasets_builders.trl`), or to see the effect of a temperature.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from datasets_builders.block_workers import Block, Executor, Workers
from datasets_builders.dataset import EpisodeDataset
from datasets_builders.provenance import config_of, plain, policy_name, provenance_of
from datasets_builders.recorder import first_seed, write_blocks
from lang_envs.episode import Episode
from lang_envs.rollout import Policy, Start, Turn, rollout
from lang_envs.utterances import spell
from lang_envs.vector import TokenVectorEnv

HUMAN = "human"
_BLOCK_EPISODES = 1024  # approximate; few, because an interruption loses a block and samples of a large model are slow


@runtime_checkable
class LoggedReplies(Protocol):
    """A task that knows the logged replies to its contexts."""

    def logged_replies(self, context: int) -> Sequence[str]:
        """Every reply to ``context`` in the log: whole utterances, each of which would end the episode."""
        ...


class Candidates(Policy, Protocol):
    """A policy that returns its best utterances, such as ``agents.decoding.beams.BeamSearch``."""

    beams: int
    """number of utterances"""

    def candidates(self, histories: Sequence[NDArray[np.int32]]) -> list[list[Turn]]:
        """``beams`` different utterances for each history, the best first."""
        ...


@dataclass(frozen=True)
class Sampling:
    """What is recorded of each context.

    Attributes:
        policies: the policies, by their names in ``info["policy"]``; for example one agent at several temperatures.
        per_context: number of replies of each policy to each context.
        human: whether the replies of the log are recorded too.
        search: a search whose candidates are recorded too, or None.
    """

    policies: Mapping[str, Policy] = field(default_factory=dict)
    per_context: int = 5
    human: bool = True
    search: Candidates | None = None


def samples(env: TokenVectorEnv, seed: int, sampling: Sampling) -> Block:
    """The block function of such a data set (see :mod:`datasets_builders.recorder`).

    The contexts are the task's, in order. If a task has no numbered contexts, they are the starts of consecutive seeds,
    without an end. For each context the human replies come first, then the samples of each policy, then the candidates
    of the search. ``info`` has ``policy``, ``sample`` (from 0 for each policy) and ``temperature`` (null if there is
    none).

    Raises:
        ValueError: there is nothing to record, or human replies are asked for and the task has none.
    """
    _check(env, sampling)
    first, contexts = first_seed(seed), env.task.num_contexts
    stride = max(1, len(sampling.policies) * sampling.per_context)  # policy seeds of one context
    size = max(1, _BLOCK_EPISODES // (stride + 8))  # contexts of a block

    def block(k: int) -> Iterator[Episode]:
        end = (k + 1) * size if contexts is None else min((k + 1) * size, contexts)
        span = range(k * size, end)
        starts = [Start(first + c, first + c * stride, context=None if contexts is None else c) for c in span]
        groups = [_human(env, starts, span)] if sampling.human else []
        for i, (name, policy) in enumerate(sampling.policies.items()):
            groups.append(_drawn(env, starts, name, policy, i * sampling.per_context, sampling.per_context))
        if sampling.search is not None:
            groups.append(_best(env, starts, sampling.search))
        for context in zip(*groups, strict=True):
            for answers in context:
                yield from answers

    return block


def size(env: TokenVectorEnv, sampling: Sampling) -> int | None:
    """The total number of episodes; None if the contexts have no end."""
    contexts = env.task.num_contexts
    if contexts is None:
        return None
    logged = sum(len(_logged(env).logged_replies(c)) for c in range(contexts)) if sampling.human else 0
    beams = 0 if sampling.search is None else sampling.search.beams
    return logged + contexts * (len(sampling.policies) * sampling.per_context + beams)


def record_samples(
    env: TokenVectorEnv,
    sampling: Sampling,
    out: str | os.PathLike[str],
    episodes: int | None = None,
    seed: int = 0,
    *,
    name: str = "samples",
    source: Mapping[str, Any] | None = None,
    progress: bool = True,
    workers: int = 1,
    executor: Executor = "processes",
) -> EpisodeDataset:
    """Records several replies to each context. After an interruption, the same call resumes with the same bytes.

    Args:
        env: the environment to play in; it must not be used elsewhere until the recording is complete.
        sampling: what to record of each context.
        out: the folder to make.
        episodes: the number of episodes; None for all.
        seed: of the recording, in [0, 2**28); see :data:`lang_envs.seeds.RECORDING`.
        name: the name of the data set, for its card.
        source: JSON-able facts about the origin of the policies, such as a folder; recorded, and compared on resuming.
        progress: whether to show the progress on standard error (``lang_envs.progress``).
        workers: number of processes, each with its own copies of the environment and the policies, which must be
            picklable. The bytes do not depend on it.
        executor: ``processes`` of this machine, or ``ray`` for those of a cluster.

    Raises:
        ValueError: as :func:`samples`, or there are fewer episodes than asked for.
        FileExistsError, OSError: as ``write_blocks``.
    """
    block, there_are = samples(env, seed, sampling), size(env, sampling)
    if episodes is None and there_are is None:
        raise ValueError(f"the contexts of {type(env.task).__name__} have no end: say how many episodes to record")
    if episodes is not None and there_are is not None and episodes > there_are:
        raise ValueError(f"there are {there_are} episodes of this kind, {episodes} were asked for")
    facts = provenance_of(
        env,
        seed=seed,
        name=name,
        description="Several answers to each context.",
        recipe={"name": name, "options": {"per_context": sampling.per_context, "human": sampling.human}},
        policies={name: _facts(policy) for name, policy in sampling.policies.items()},
        search=None if sampling.search is None else _facts(sampling.search),
        source=plain(dict(source or {})),
    )
    count = there_are if episodes is None else episodes
    assert count is not None
    spread = Workers(_Opening(env, seed, sampling), workers, executor)
    return write_blocks(block, count, out, facts, env.tokenizer, progress, spread)


@dataclass(frozen=True)
class _Opening:
    """How a worker begins."""

    env: TokenVectorEnv
    seed: int
    sampling: Sampling

    def __call__(self) -> Block:
        return samples(self.env, self.seed, self.sampling)


def _check(env: TokenVectorEnv, sampling: Sampling) -> None:
    if not sampling.policies and not sampling.human and sampling.search is None:
        raise ValueError("there is nothing to record: name a policy, or ask for the human replies or for beams")
    if sampling.policies and sampling.per_context < 1:
        raise ValueError(f"per_context must be at least 1, got {sampling.per_context}")
    if sampling.human:
        _logged(env)


def _logged(env: TokenVectorEnv) -> LoggedReplies:
    task: Any = env.task
    if not isinstance(task, LoggedReplies) or env.task.num_contexts is None:
        raise ValueError(
            f"{type(task).__name__} has no human replies (no logged_replies); leave them out with human=False"
        )
    return task


def _human(env: TokenVectorEnv, starts: Sequence[Start], contexts: Sequence[int]) -> list[list[Episode]]:
    """The log's replies to each context."""
    log, limit = _logged(env), env.task.max_utterance_tokens
    replies = [log.logged_replies(context) for context in contexts]
    replayed = [
        start._replace(said=[spell(env.tokenizer, reply, limit)])
        for start, own in zip(starts, replies, strict=True)
        for reply in own
    ]
    return _grouped(env, _Nobody(), replayed, [len(own) for own in replies], HUMAN, None)


def _drawn(
    env: TokenVectorEnv, starts: Sequence[Start], name: str, policy: Policy, first: int, count: int
) -> list[list[Episode]]:
    """``count`` samples of each context; the policy's seeds begin at ``first``."""
    temperature = 0.0 if getattr(policy, "greedy", False) else getattr(policy, "temperature", None)
    seeded = [s._replace(policy_seed=(s.policy_seed or 0) + first + i) for s in starts for i in range(count)]
    return _grouped(env, policy, seeded, [count] * len(starts), name, temperature)


def _best(env: TokenVectorEnv, starts: Sequence[Start], search: Candidates) -> list[list[Episode]]:
    """The candidates for each context's opening; if an episode goes on, the best candidate is said."""
    openings: list[NDArray[np.int32]] = []
    for at in range(0, len(starts), env.num_envs):
        some = starts[at : at + env.num_envs]
        env.begin(range(len(some)), [start.seed for start in some], [start.context for start in some])
        openings += [env.history(row).copy() for row in range(len(some))]
    found = search.candidates(openings)
    replayed = [s._replace(said=[turn.tokens]) for s, turns in zip(starts, found, strict=True) for turn in turns]
    return _grouped(env, search, replayed, [len(turns) for turns in found], policy_name(search), None)


def _grouped(
    env: TokenVectorEnv,
    policy: Policy,
    starts: Sequence[Start],
    counts: Sequence[int],
    name: str,
    temperature: float | None,
) -> list[list[Episode]]:
    """Plays ``starts``; the first ``counts[0]`` belong to one context, and so on."""
    episodes = iter(list(rollout(env, policy, starts)))  # a list: only one rollout at a time may use the environment
    groups = [[next(episodes) for _ in range(count)] for count in counts]
    for group in groups:
        for number, episode in enumerate(group):
            episode.info.update(policy=name, sample=number, temperature=temperature)
    return groups


def _facts(policy: Policy) -> dict[str, Any]:
    return {"name": policy_name(policy), "config": config_of(policy)}


class _Nobody:
    """A policy for episodes in which all utterances are replayed."""

    name = HUMAN

    def act(self, histories: Sequence[NDArray[np.int32]], rngs: Sequence[np.random.Generator]) -> list[Turn]:
        """Refuses to speak."""
        raise ValueError(
            "the episode goes on after a human reply, and the log has no further reply; a task of several turns needs "
            "human=False"
        )
