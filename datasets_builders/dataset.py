"""EpisodeDataset: recorded episodes and their provenance, read in place from the memory map."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from datasets_builders import export, hub, imports, loading, selections
from datasets_builders.card import describe, to_text
from datasets_builders.columns import Columns
from datasets_builders.logs import importing
from datasets_builders.logs.limits import tokenizer_for
from datasets_builders.provenance import check_tokenizer, merged, read_provenance, tokenizer_facts
from datasets_builders.pushed import data_files
from datasets_builders.storage import FORMAT_VERSION, DatasetError, encode, schema
from datasets_builders.views import Chunk
from datasets_builders.writer import write_copy
from lang_envs.episode import Episode, Episodes
from lang_envs.printable import printable
from lang_envs.tokenizers import vocabulary_size

if TYPE_CHECKING:
    import datasets
    from transformers import PreTrainedTokenizerFast

_AT_ONCE = 65_536  # episodes; bounds the memory that copying takes
_FETCHED = 1024  # episodes that iteration fetches at once, because looking each up in the columns is slow


class EpisodeDataset(Sequence[Episode]):
    """Episodes in Arrow columns. Selections share the columns: they hold row numbers only.

    Attributes:
        provenance: facts about where the episodes come from, as JSON has them.
    """

    def __init__(
        self,
        columns: Columns,
        provenance: dict[str, Any],
        rows: NDArray[np.int64] | None = None,
        tokenizer: PreTrainedTokenizerFast | Path | None = None,
    ) -> None:
        """Takes ``rows`` of ``columns`` (None: all); ``tokenizer`` may be the folder of a tokenizer.

        Raises:
            DatasetError: there is no episode.
        """
        if not len(columns) or (rows is not None and not len(rows)):
            raise DatasetError("a data set needs at least one episode, got none")
        self._columns, self._rows, self._tokenizer = columns, rows, tokenizer
        self.provenance = provenance

    # Where it comes from

    @classmethod
    def load(cls, path: str | os.PathLike[str], verify: bool = True) -> EpisodeDataset:
        """Maps a recorded folder into memory and checks it.

        Args:
            path: the folder, or "hub:owner/name", which is fetched.
            verify: whether to compare the files with their checksums and to check the content of every episode. This
                reads everything once. Otherwise only the places and lengths of episodes are checked, and their content
                is not read; use this for a folder that is larger than memory and was checked before.

        Raises:
            FileNotFoundError: there is no such folder, or only its unfinished recording.
            DatasetError: the folder is damaged, empty, or of another format version.
        """
        folder = hub.local(path, "data")
        provenance = read_provenance(folder)
        if verify:
            loading.verify(folder)
        columns = loading.columns_of(folder, provenance, verify)
        tokenizer = folder / "tokenizer"
        return cls(columns, provenance, tokenizer=tokenizer if tokenizer.is_dir() else None)

    @classmethod
    def from_episodes(
        cls,
        episodes: Iterable[Episode],
        provenance: dict[str, Any] | None = None,
        tokenizer: PreTrainedTokenizerFast | None = None,
    ) -> EpisodeDataset:
        """Packs episodes in memory. Without a tokenizer, a token takes 32 bits and nothing can be decoded.

        Raises:
            DatasetError: there is no episode, or an episode contradicts itself or the tokenizer.
        """
        provenance = {"format_version": FORMAT_VERSION, **(provenance or {})}
        if tokenizer is not None:
            provenance["tokenizer"] = tokenizer_facts(tokenizer)
        columns = schema(2**31 if tokenizer is None else vocabulary_size(tokenizer))
        packed = episodes if isinstance(episodes, Episodes) else Episodes.from_list(list(episodes))
        if not len(packed):
            raise DatasetError("a data set needs at least one episode, got none")
        chunk = Chunk.of(encode(packed, columns))
        chunk.check_episodes("the episodes", None if tokenizer is None else vocabulary_size(tokenizer))
        return cls(Columns([chunk]), provenance, tokenizer=tokenizer)

    @classmethod
    def from_jsonl(
        cls, path: str | os.PathLike[str], tokenizer: PreTrainedTokenizerFast | None = None
    ) -> EpisodeDataset:
        """Reads a file that :meth:`to_jsonl` wrote, or another file in its format (docs/datasets.md).

        Args:
            path: the file.
            tokenizer: the tokenizer of the episodes. If the file names none, its ids are taken as this tokenizer's.

        Raises:
            DatasetError: something is missing or wrong; the message names the line or the episode, and the field.
        """
        return cls._imported(*imports.read_jsonl(Path(path)), tokenizer, str(path))

    @classmethod
    def from_parquet(
        cls, path: str | os.PathLike[str], tokenizer: PreTrainedTokenizerFast | None = None
    ) -> EpisodeDataset:
        """Reads a file that :meth:`to_parquet` wrote; arguments and errors are those of :meth:`from_jsonl`."""
        return cls._imported(*imports.read_parquet(Path(path)), tokenizer, str(path))

    @classmethod
    def from_rows(
        cls,
        rows: Iterable[Mapping[str, Any]] | str | os.PathLike[str],
        tokenizer: PreTrainedTokenizerFast | None = None,
        options: importing.Options = importing.STRICT,
    ) -> EpisodeDataset:
        """Imports the conversations of a log into memory; ``import_logs`` streams a large log (docs/logs_of_yours.md).

        ``provenance["import"]`` is the report.

        Args:
            rows: records (column -> value) in a known layout, or a file of them.
            tokenizer: the tokenizer that the conversations are written with; None: the packaged one.
            options: how to import. By default the first row that cannot be imported is an error.

        Raises:
            DatasetError: a row cannot be imported (the message names it), there is no row, or the layout is not known.
        """
        tokenizer = tokenizer_for(tokenizer, options.plain)
        return cls.from_episodes(*importing.episodes_of(rows, tokenizer, options), tokenizer)

    @classmethod
    def _imported(
        cls,
        provenance: dict[str, Any],
        batches: Iterator[pa.RecordBatch],
        tokenizer: PreTrainedTokenizerFast | None,
        where: str,
    ) -> EpisodeDataset:
        provenance, found = imports.columns_of(provenance, batches, tokenizer, where)
        dataset = cls(found, provenance, tokenizer=tokenizer)
        if tokenizer is not None:
            try:
                dataset.require(tokenizer)
            except DatasetError as error:
                raise DatasetError(f"{where}: {error}") from error
        return dataset

    # Reading

    def __len__(self) -> int:
        return len(self._columns) if self._rows is None else len(self._rows)

    def __getitem__(self, index: int) -> Episode:  # type: ignore[override]  # slices: see select
        """One episode with its info."""
        return self.rows([index], info=True)[0]

    def __iter__(self) -> Iterator[Episode]:
        """The episodes one by one, with their infos; they are fetched many at a time."""
        for start in range(0, len(self), _FETCHED):
            yield from self.rows(np.arange(start, min(start + _FETCHED, len(self))), info=True)

    def rows(self, indices: ArrayLike, info: bool = False) -> Episodes:
        """Episodes in columns, copied out of the memory map without a loop over episodes.

        Args:
            indices: [n] integers from -len to len - 1.
            info: whether the info dictionaries are made too; otherwise they are empty.

        Raises:
            IndexError: an index is out of range.
            TypeError: the indices are not integers.
        """
        rows = self._resolve(indices)
        episodes = self._columns.gather(rows)
        if info:
            found = self._columns.batch(rows, ["seed", "info"]).to_pylist()
            for own, row in zip(episodes.info, found, strict=True):
                own.update(json.loads(row["info"]), **({} if row["seed"] is None else {"seed": row["seed"]}))
        return episodes

    def _resolve(self, indices: ArrayLike) -> NDArray[np.int64]:
        positions = selections.positions(indices, len(self))
        return positions if self._rows is None else self._rows[positions]

    @cached_property
    def returns(self) -> NDArray[np.float64]:
        """The sum of rewards of each episode [B]; computed once, from the memory map."""
        returns = self._columns.returns()
        return returns if self._rows is None else returns[self._rows]

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """The number of tokens of each episode [B]."""
        lengths = self._columns.lengths()
        return lengths if self._rows is None else lengths[self._rows]

    def tokenizer(self) -> PreTrainedTokenizerFast:
        """The tokenizer that the data set was recorded with.

        Raises:
            ValueError: the data set has no tokenizer.
            DatasetError: the tokenizer's files are damaged, or are those of another tokenizer.
        """
        if self._tokenizer is None:
            raise ValueError(
                "this data set carries no tokenizer; pass one to from_episodes, from_jsonl or from_parquet"
            )
        if isinstance(self._tokenizer, Path):
            self._tokenizer = loading.tokenizer_in(self._tokenizer, self.provenance)
        return self._tokenizer

    def require(self, tokenizer: PreTrainedTokenizerFast) -> None:
        """Refuses any tokenizer except the one that the data set was recorded with.

        Raises:
            DatasetError: ``tokenizer`` is another one.
        """
        check_tokenizer(self.provenance, tokenizer)

    # Selections

    def select(self, indices: ArrayLike) -> EpisodeDataset:
        """The episodes ``indices``, in that order."""
        return self._with_rows(self._resolve(indices))

    def filter(self, min_return: float | None = None, top_fraction: float | None = None) -> EpisodeDataset:
        """The episodes with a return of at least ``min_return``, and of those the best ``top_fraction``.

        They stay in their order. Of equal returns the earlier episode counts as better.

        Raises:
            ValueError: no episode is left, or the fraction is not in (0, 1].
        """
        return self.select(selections.best(self.returns, min_return, top_fraction))

    def split(self, parts: Sequence[float] | Sequence[int], seed: int = 0) -> list[EpisodeDataset]:
        """Random parts without a common episode.

        Args:
            parts: fractions of the whole, or numbers of episodes if all are integers.
            seed: seed of the random order.

        Raises:
            ValueError: a part is empty, or there are not enough episodes.
        """
        return [self.select(rows) for rows in selections.parts(len(self), parts, seed)]

    def merge(self, *others: EpisodeDataset) -> EpisodeDataset:
        """All episodes of this data set and then of the others; nothing is copied.

        Raises:
            DatasetError: they were recorded with different tokenizers.
        """
        datasets = [self, *others]
        provenance = merged([d.provenance for d in datasets])
        types = {d._columns.chunks[0].batch.schema for d in datasets}
        if len(types) > 1:
            raise DatasetError(f"only data sets with columns of the same types can be merged, got {types}")
        starts = np.cumsum([0, *(len(d._columns) for d in datasets)])
        rows = [
            start + (np.arange(len(d)) if d._rows is None else d._rows)
            for start, d in zip(starts, datasets, strict=False)
        ]
        columns = Columns([chunk for d in datasets for chunk in d._columns.chunks])
        return EpisodeDataset(columns, provenance, np.concatenate(rows), self._tokenizer)

    def _with_rows(self, rows: NDArray[np.int64]) -> EpisodeDataset:
        return EpisodeDataset(self._columns, self.provenance, rows, self._tokenizer)

    # What it holds

    def describe(self) -> dict[str, Any]:
        """Counts, returns (mean, s.d., quantiles), lengths, turns, and the share and mean return of each policy."""
        return describe(self._columns, self._rows, self.provenance)

    def __str__(self) -> str:
        return to_text(self.describe())

    def __repr__(self) -> str:
        env = (self.provenance.get("env") or {}).get("id", "an unknown environment")
        return f"EpisodeDataset({len(self):,} {'episode' if len(self) == 1 else 'episodes'} of {printable(env)})"

    # Writing

    def save(self, path: str | os.PathLike[str]) -> EpisodeDataset:
        """Writes these episodes to a new folder, and returns the data set of that folder.

        Episodes that a selection left out are not written. A new call deletes what an interrupted call left.

        Raises:
            FileExistsError: the folder exists.
        """
        tokenizer = None if self._tokenizer is None else self.tokenizer()
        columns = self._columns.chunks[0].batch.schema
        return EpisodeDataset.load(write_copy(path, self._batches(), self._summary(), columns, tokenizer), verify=False)

    def push_to_hub(self, name: str, private: bool = False) -> str:
        """Sends these episodes to the hub -> their address; ``load("hub:owner/name")`` fetches them.

        Of each path of this machine in the provenance, only the last part is sent.

        Args:
            name: "owner/name".
            private: whether a repository that is made for them is private.

        Raises:
            OSError: the machine is offline, or the hub refuses.
        """
        with TemporaryDirectory() as made:
            folder = Path(made) / "data"
            self.save(folder)
            with data_files(folder) as files:
                return hub.send(files, name, "data", private)

    def to_jsonl(self, path: str | os.PathLike[str]) -> None:
        """Writes one line of provenance, then one line per episode with the fields on disk (one reward per action)."""
        export.write_jsonl(self._batches(), len(self), self._summary(), Path(path))

    def to_parquet(self, path: str | os.PathLike[str]) -> None:
        """Writes one row per episode, with the columns on disk and the provenance in the file's metadata."""
        columns = self._columns.chunks[0].batch.schema
        export.write_parquet(self._batches(), len(self), columns, self._summary(), Path(path))

    def to_hf(self) -> datasets.Dataset:
        """The same rows as a ``datasets.Dataset``, still mapped from disk."""
        import datasets

        table = pa.Table.from_batches([chunk.batch for chunk in self._columns.chunks])
        whole = datasets.Dataset(datasets.table.InMemoryTable(table))
        return whole if self._rows is None else whole.select(self._rows)

    def _summary(self) -> dict[str, Any]:
        return {**self.provenance, "episodes": len(self), "mean_return": float(self.returns.mean())}

    def _batches(self) -> Iterator[pa.RecordBatch]:
        for start in range(0, len(self), _AT_ONCE):
            yield self._columns.batch(self._resolve(np.arange(start, min(start + _AT_ONCE, len(self)))))
