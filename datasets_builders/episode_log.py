"""EpisodeLog: writes the episodes of an outside loop into a new data set, a block at a time."""

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
    """A data set that is being recorded.

    Args:
        env: the environment that is played.
        out: the folder to make.
        policy: the name of the policy, for ``info["policy"]``.
        block_size: number of episodes that are written at once, and that an interruption may lose.
        resume: whether to continue an interrupted recording; otherwise one is an error.
        recorded_with: the name of the class that records, for the provenance.

    Raises:
        FileExistsError: ``out`` exists, or its unfinished recording exists and ``resume`` is False.
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
        self._num_waiting = 0  # episodes in self._waiting
        self._dataset: EpisodeDataset | None = None

    @property
    def written(self) -> int:
        """The number of episodes that are on disk."""
        return self._recording.episodes

    def info(self, facts: dict[str, Any]) -> str:
        """The facts of an episode and its policy's name, as JSON."""
        return to_json({**facts, "policy": self._policy})

    def add(self, episodes: Episodes, infos: list[str]) -> None:
        """Takes B episodes, whose ``info`` holds only the seed, and the JSON of each from :meth:`info`.

        Raises:
            ValueError: the data set is finished.
        """
        if self._dataset is not None:
            raise ValueError("the recording is finished; wrap the environment anew to record into another folder")
        self._waiting.append((episodes, infos))
        self._num_waiting += len(episodes)

    def write_when_full(self) -> None:
        """Writes the episodes that wait if they fill a block.

        Raises:
            OSError: the disk is full; the episodes are kept for the next attempt.
        """
        if self._num_waiting >= self._block_size:
            self._write()

    def finish(self) -> EpisodeDataset:
        """Writes the episodes that are left, finishes the folder and opens it.

        Raises:
            DatasetError: no episode has ended. More episodes can be played.
        """
        if self._dataset is None:
            if not (self._waiting or self.written):
                raise DatasetError("no episode has ended yet, and an empty data set cannot be read: play on")
            self._write()
            self._dataset = EpisodeDataset.load(self._recording.finish(), verify=False)
        return self._dataset

    def close(self) -> None:
        """Finishes the data set if an episode has ended; otherwise deletes its folder."""
        if self._dataset is None and (self._waiting or self.written):
            self.finish()
        if self._dataset is None:
            self._recording.discard()  # nothing in it

    def _write(self) -> None:
        if self._waiting:
            episodes = Episodes.concat([part for part, _ in self._waiting])
            infos = [text for _, texts in self._waiting for text in texts]
            self._recording.append(encode(episodes, self._schema, infos))
            # After the write: if the disk was full, the next attempt still has the episodes.
            self._waiting, self._num_waiting = [], 0
