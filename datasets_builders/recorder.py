"""Recording whole episodes: in blocks, so that an interrupted recording goes on where it stopped, to the same bytes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from itertools import islice
from typing import TYPE_CHECKING, Any

from datasets_builders.dataset import EpisodeDataset
from datasets_builders.progress import progress_bar
from datasets_builders.provenance import policy_name, provenance_of
from datasets_builders.storage import encode, schema
from datasets_builders.writer import Recording
from lang_envs.episode import Episode, Episodes
from lang_envs.make import language_vec
from lang_envs.rollout import Policy, rollout
from lang_envs.seeds import RECORDING
from lang_envs.tokenizers import vocabulary_size
from lang_envs.vector import TokenVectorEnv

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

Block = Callable[[int], Iterable[Episode]]
"""The episodes of block k (0, 1, ...): the same ones whenever and wherever it is asked."""

NUM_ENVS = 512
"""Episodes played at once where an environment is made here."""


def first_seed(seed: int) -> int:
    """The seed of a recording's first episode; recordings of other seeds share none of theirs.

    Raises:
        ValueError: where ``seed`` is none of :data:`lang_envs.seeds.RECORDING`.
        TypeError: where it is no integer.
    """
    return RECORDING.first(seed)


def write_blocks(
    block: Block,
    episodes: int,
    out: str | os.PathLike[str],
    provenance: dict[str, Any],
    tokenizer: PreTrainedTokenizerFast,
    progress: bool = True,
) -> EpisodeDataset:
    """Writes blocks until there are ``episodes`` of them, and resumes where an earlier run of the same was interrupted.

    Memory is bounded by one block and one file (128 MB).

    Args:
        block: makes block k; a pure function of k.
        episodes: exactly so many are written; the last block is cut.
        out: the folder to make.
        provenance: of ``provenance_of``; a partial folder with another one is refused.
        tokenizer: the one the episodes are written in.
        progress: whether to say how far it is, on standard error (``datasets_builders.progress``).

    Raises:
        ValueError: where fewer than 1 episode is asked for, or a block is empty.
        FileExistsError: where ``out`` exists.
        OSError: where the disk is full; what was written stays and is resumed.
    """
    if episodes < 1:
        raise ValueError(f"a recording needs at least 1 episode, {episodes} were asked for")
    columns = schema(vocabulary_size(tokenizer))
    recording = Recording(out, {**provenance, "episodes": episodes}, columns, tokenizer)
    with closing(recording), progress_bar(f"recording {recording.out.name}", episodes, progress) as show:
        while recording.episodes < episodes:
            left = episodes - recording.episodes
            some = []
            for episode in islice(block(recording.next_block), left):
                some.append(episode)
                show(recording.episodes + len(some))
            if not some:
                raise ValueError(f"block {recording.next_block} holds no episode, but {left} more were asked for")
            recording.append(encode(Episodes.from_list(some), columns))
        return EpisodeDataset.load(recording.finish(), verify=False)


def record(
    env: str | TokenVectorEnv,
    policy: Policy,
    episodes: int,
    out: str | os.PathLike[str],
    seed: int = 0,
    block_size: int = 4096,
    progress: bool = True,
) -> EpisodeDataset:
    """Plays ``episodes`` episodes and writes them to a new folder; asked again after an interruption, it goes on.

    Args:
        env: a vector environment, or the id of one.
        policy: who plays; noted in ``provenance.json`` and in each episode's ``info["policy"]``.
        episodes: how many. Episode i is played from the seed ``first_seed(seed) + i``.
        out: the folder to make; until it is whole it is called ``<out>.partial``.
        seed: of the recording, in [0, 2**28); see :data:`lang_envs.seeds.RECORDING`.
        block_size: episodes that an interruption may lose.
        progress: whether to say how far it is, on standard error (``datasets_builders.progress``).

    Raises:
        ValueError, FileExistsError, OSError: as :func:`write_blocks`.
    """
    if block_size < 1:
        raise ValueError(f"block_size must be at least 1, got {block_size}")
    venv = make_env(env, episodes) if isinstance(env, str) else env
    first, name = first_seed(seed), policy_name(policy)

    def block(k: int) -> Iterator[Episode]:
        span = range(k * block_size, min((k + 1) * block_size, episodes))
        return played(venv, policy, (first + i for i in span), name)

    facts = provenance_of(venv, policy, seed=seed, block_size=block_size)
    try:
        return write_blocks(block, episodes, out, facts, venv.tokenizer, progress)
    finally:
        if isinstance(env, str):
            venv.close()


def make_env(env_id: str, episodes: int = NUM_ENVS, **options: Any) -> TokenVectorEnv:
    """The native vector environment of an id, with no more rows than there are episodes to play."""
    return language_vec(env_id, max(1, min(NUM_ENVS, episodes)), **options)


def played(env: TokenVectorEnv, policy: Policy, starts: Iterable[Any], name: str) -> Iterator[Episode]:
    """``rollout`` with the policy's name in each episode's info."""
    for episode in rollout(env, policy, starts):
        episode.info["policy"] = name
        yield episode
