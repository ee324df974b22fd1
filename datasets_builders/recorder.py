"""Records episodes in blocks, so that an interrupted recording resumes where it stopped and produces the same bytes."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from datasets_builders.block_workers import Block, Executor, Workers, encoded
from datasets_builders.dataset import EpisodeDataset
from datasets_builders.provenance import policy_name, provenance_of
from datasets_builders.storage import schema
from datasets_builders.writer import Recording
from lang_envs.episode import Episode
from lang_envs.make import language_vec
from lang_envs.progress import progress_bar
from lang_envs.rollout import Policy, rollout
from lang_envs.seeds import RECORDING
from lang_envs.tokenizers import vocabulary_size
from lang_envs.vector import TokenVectorEnv

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

NUM_ENVS = 512
"""The number of episodes that are played at once in an environment that is made here."""


def first_seed(seed: int) -> int:
    """The seed of a recording's first episode; two recordings with different seeds share no episode seed.

    Raises:
        ValueError: ``seed`` is outside of the range of :data:`lang_envs.seeds.RECORDING`.
        TypeError: ``seed`` is not an integer.
    """
    return RECORDING.first(seed)


def write_blocks(
    block: Block,
    episodes: int,
    out: str | os.PathLike[str],
    provenance: dict[str, Any],
    tokenizer: PreTrainedTokenizerFast,
    progress: bool = True,
    workers: Workers | None = None,
) -> EpisodeDataset:
    """Writes blocks until there are ``episodes`` episodes. It resumes an interrupted run of the same recording.

    Memory is bounded by one file (128 MB) and one block, or with workers by two blocks for each worker.

    Args:
        block: makes block k; a pure function of k.
        episodes: the exact number of episodes to write; the last block is cut.
        out: the folder to make.
        provenance: from ``provenance_of``; a partial folder with another provenance is refused.
        tokenizer: the tokenizer of the episodes.
        progress: whether to show the progress on standard error (``lang_envs.progress``).
        workers: the processes that make the blocks; None: this process makes them. The bytes are the same.

    Raises:
        ValueError: ``episodes`` is below 1, a block is empty, or a worker is killed.
        FileExistsError: ``out`` exists.
        OSError: the disk is full; the complete files stay, and the same call resumes.
    """
    if episodes < 1:
        raise ValueError(f"a recording needs at least 1 episode, {episodes} were asked for")
    columns = schema(vocabulary_size(tokenizer))
    recording = Recording(out, {**provenance, "episodes": episodes}, columns, tokenizer)
    with closing(recording), progress_bar(f"recording {recording.out.name}", episodes, progress) as show:
        if workers is None or (workers.number == 1 and workers.executor == "processes"):
            blocks = _made_here(block, episodes, recording, show)
        else:
            blocks = workers.blocks(recording.next_block, columns)
        with closing(blocks):
            while (left := episodes - recording.episodes) > 0:
                batch = next(blocks)
                if batch is None:
                    raise ValueError(f"block {recording.next_block} holds no episode, but {left} more were asked for")
                recording.append(batch if len(batch) <= left else batch.take(pa.array(range(left))))
                show(recording.episodes)
        return EpisodeDataset.load(recording.finish(), verify=False)


def _made_here(
    block: Block, episodes: int, recording: Recording, show: Callable[[int], None]
) -> Generator[pa.RecordBatch | None]:
    """The blocks that the recording lacks, made by this process."""
    while True:
        before = recording.episodes

        def counted(k: int, before: int = before) -> Iterator[Episode]:
            for done, episode in enumerate(block(k), before + 1):
                show(done)
                yield episode

        yield encoded(counted(recording.next_block), episodes - before, recording.columns)


def record(
    env: str | TokenVectorEnv,
    policy: Policy,
    episodes: int,
    out: str | os.PathLike[str],
    seed: int = 0,
    block_size: int = 4096,
    progress: bool = True,
    workers: int = 1,
    executor: Executor = "processes",
) -> EpisodeDataset:
    """Plays episodes and writes them to a new folder. After an interruption, the same call resumes.

    Args:
        env: a vector environment, or the id of one.
        policy: the policy that plays; recorded in ``provenance.json`` and in each episode's ``info["policy"]``.
        episodes: the number of episodes. Episode i is played from the seed ``first_seed(seed) + i``.
        out: the folder to make; until it is complete it is called ``<out>.partial``.
        seed: of the recording, in [0, 2**28); see :data:`lang_envs.seeds.RECORDING`.
        block_size: number of episodes that an interruption may lose.
        progress: whether to show the progress on standard error (``lang_envs.progress``).
        workers: number of processes that play, each with its own copies of the environment and the policy, which must
            be picklable. The bytes do not depend on it.
        executor: ``processes`` of this machine, or ``ray`` for those of a cluster.

    Raises:
        ValueError, FileExistsError, OSError: as :func:`write_blocks`.
    """
    if block_size < 1:
        raise ValueError(f"block_size must be at least 1, got {block_size}")
    venv = make_env(env, episodes) if isinstance(env, str) else env
    playing = _Playing(env, policy, episodes, first_seed(seed), block_size)
    facts = provenance_of(venv, policy, seed=seed, block_size=block_size)
    spread = Workers(playing, workers, executor)
    try:
        return write_blocks(playing.blocks(venv), episodes, out, facts, venv.tokenizer, progress, spread)
    finally:
        if isinstance(env, str):
            venv.close()


@dataclass(frozen=True)
class _Playing:
    """Makes the blocks of a recording of one policy in one environment, from consecutive seeds."""

    env: str | TokenVectorEnv
    policy: Policy
    episodes: int
    first: int  # seed
    block_size: int

    def __call__(self) -> Block:
        return self.blocks(make_env(self.env, self.episodes) if isinstance(self.env, str) else self.env)

    def blocks(self, env: TokenVectorEnv) -> Block:
        name = policy_name(self.policy)

        def block(k: int) -> Iterator[Episode]:
            span = range(k * self.block_size, min((k + 1) * self.block_size, self.episodes))
            return played(env, self.policy, (self.first + i for i in span), name)

        return block


def make_env(env_id: str, episodes: int = NUM_ENVS, **options: Any) -> TokenVectorEnv:
    """The native vector environment of an id, with at most as many rows as there are episodes to play."""
    return language_vec(env_id, max(1, min(NUM_ENVS, episodes)), **options)


def played(env: TokenVectorEnv, policy: Policy, starts: Iterable[Any], name: str) -> Iterator[Episode]:
    """``rollout`` with the policy's name in each episode's info."""
    for episode in rollout(env, policy, starts):
        episode.info["policy"] = name
        yield episode
