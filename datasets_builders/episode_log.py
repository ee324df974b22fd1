"""The episodes of a loop of somebody's on their way into a new data set, written a block at a time."""

from __future__ import annotations

import os
from typing import Any

from datasets_builders.dataset import EpisodeDataset
from datasets_builders.provenance import provenance_of
from datasets_builders.storage import DatasetError, encode, schema, to_json
from datasets_builders.writer import KEPT, Recording
from lang_envs.episode import Episodes
from lang_envs.tokenizers import vocabulary_size


class EpisodeLog:
    """A data set in the making.

    Args:
        env: what is played.
        out: the folder to make.
        policy: who plays, for ``info["policy"]``.
        block_size: episodes that are written at once, and that an interruption may lose.
        resume: whether the episodes of an interrupted recording are kept and added to; else they are an error.
        recorded_with: the name of who records.

    Raises:
        FileExistsError: where ``out`` exists, or an unfinished recording of it and ``resume`` is False.
    """

    def __init__(
        self, env: Any, out: str | os.PathLike[str], policy: str, block_size: int, resume: bool, recorded_with: str
    ) -> None:
        self._policy, self._block_size = policy, block_size
        tokenizer = env.unwrapped.tokenizer
        self._schema = schema(vocabulary_size(tokenizer))
        facts = provenance_of(env, tokenizer=tokenizer, recorded_with=recorded_with, policy_name=policy)
        advice = f"{KEPT}: make room and go on; in a new process, wrap the environment with resume=True"
        self._recording = Recording(out, facts, self._schema, tokenizer, resume, advice)
        self._waiting: list[tuple[Episodes, list[str]]] = []
        self._num_waiting = 0  # episodes in it
        self._dataset: EpisodeDataset | None = None

    @property
    def written(self) -> int:
        """Episodes that are safely on disk."""
        return self._recording.episodes

    def info(self, facts: dict[str, Any]) -> str:
        """What is known of an episode as JSON, who played included."""
        return to_json({**facts, "policy": self._policy})

    def add(self, episodes: Episodes, infos: list[str]) -> None:
        """Takes B episodes, whose ``info`` holds nothing but the seed, and what :meth:`info` says of each.

        Raises:
            ValueError: where the data set is finished.
        """
        if self._dataset is not None:
            raise ValueError("the recording is finished; wrap the environment anew to record into another folder")
        self._waiting.append((episodes, infos))
        self._num_waiting += len(episodes)

    def write_when_full(self) -> None:
        """Writes the episodes that wait, where they are a block.

        Raises:
            OSError: where the disk is full; they wait on.
        """
        if self._num_waiting >= self._block_size:
            self._write()

    def finish(self) -> EpisodeDataset:
        """Writes what is left, makes the folder whole and opens it.

        Raises:
            DatasetError: where no episode has ended; more can be played.
        """
        if self._dataset is None:
            if not (self._waiting or self.written):
                raise DatasetError("no episode has ended yet, and an empty data set cannot be read: play on")
            self._write()
            self._dataset = EpisodeDataset.load(self._recording.finish(), verify=False)
        return self._dataset

    def close(self) -> None:
        """Finishes the data set where an episode has ended; else nothing is left of it."""
        if self._dataset is None and (self._waiting or self.written):
            self.finish()
        if self._dataset is None:
            self._recording.discard()  # nothing in it

    def _write(self) -> None:
        if self._waiting:
            episodes = Episodes.concat([part for part, _ in self._waiting])
            infos = [text for _, texts in self._waiting for text in texts]
            self._recording.append(encode(episodes, self._schema, infos))
            # Only now: where the disk was full, the next attempt still has them.
            self._waiting, self._num_waiting = [], 0
