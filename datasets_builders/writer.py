"""Recording: writes the folder of a data set block by block, and renames the folder when it is complete.

Until then the folder is called ``<out>.partial``; ``block_files`` says how it holds episodes. Every file is written
under a temporary name and then renamed. So a file with a proper name is whole, whatever interrupts the recording.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from datasets_builders import checksums
from datasets_builders.atomic import tell_full_disk, write_text
from datasets_builders.block_files import BlockFiles
from datasets_builders.card import card, describe
from datasets_builders.claim import Claim, Place
from datasets_builders.columns import Columns
from datasets_builders.provenance import RESULTS, read_provenance
from datasets_builders.storage import DatasetError, features
from datasets_builders.views import Chunk

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

_COMMENTED = ("README.md",)  # people may edit it, because no code reads it back
KEPT = "{episodes} episodes are safe in {partial}"


class Recording:
    """Collects blocks of episodes in ``<out>.partial`` and renames the folder to ``out`` when all are there.

    Attributes:
        episodes: number of episodes that are on disk.

    Args:
        out: the finished folder; it must not exist.
        provenance: facts that are equal in every run of the same recording; an existing partial folder must have the
            same.
        columns: the columns, from ``storage.schema``.
        tokenizer: saved beside the episodes; None if there is none.
        resume: whether an existing partial folder is continued; otherwise it is an error.
        copy: whether the episodes also exist elsewhere. If so, the folder is called ``<out>.copying`` until it is
            complete, and the rest of an interrupted copy is deleted. An interrupted recording is never deleted.
        advice: what to do about a full disk; may contain ``{episodes}`` and ``{partial}``.

    Raises:
        FileExistsError: ``out`` exists, or its partial folder exists and ``resume`` is False.
        DatasetError: the partial folder belongs to another recording, or is damaged.
    """

    def __init__(
        self,
        out: str | os.PathLike[str],
        provenance: dict[str, Any],
        columns: pa.Schema,
        tokenizer: PreTrainedTokenizerFast | None,
        resume: bool = True,
        advice: str = f"{KEPT}: make room and record again with the same arguments to go on",
        copy: bool = False,
    ) -> None:
        self.episodes, self._advice = 0, advice
        self.out = Path(out)
        self.partial = self.out.with_name(self.out.name + ".partial")
        self.provenance, self.columns, self.tokenizer = provenance, columns, tokenizer
        self._place: Place | None = None
        with self._clear_when_full():
            self._claim = Claim(self.out)
        try:
            self._begin(resume, copy)
        except BaseException:
            self._claim.release()
            raise

    def _begin(self, resume: bool, copy: bool) -> None:
        """Makes the partial folder, or continues the one that exists."""
        if self.out.exists():
            raise FileExistsError(
                f"{self.out} exists and is never overwritten: choose another folder, or delete it first"
            )
        if self.partial.exists() and not resume:
            raise FileExistsError(
                f"{self.partial} holds an unfinished recording: resume or delete it, or choose another folder"
            )
        if copy:
            self.partial = self.out.with_name(self.out.name + ".copying")
        _check_ours(self.partial)
        with self._clear_when_full():
            self.partial.mkdir(exist_ok=True)
            self._place = Place(self.partial)
            self._clear("*" if copy else "*.tmp")
            self._take_up()

    def _take_up(self) -> None:
        """Begins the recording, or resumes it where an earlier run stopped."""
        if (self.partial / "provenance.json").exists():
            self._check_same()
        else:
            checksums.write_entries(self.partial, {})
            self._write_json("provenance.json", self.provenance)
        self._blocks = BlockFiles(self.partial, self.columns)
        self.episodes = sum(len(batch) for _, batch in self._blocks.batches())
        self._blocks.join_when_full()  # the earlier run may have stopped just before it joined the files

    @property
    def next_block(self) -> int:
        """The number of the first block that is not on disk."""
        return self._blocks.next

    def append(self, batch: pa.RecordBatch) -> None:
        """Writes the next block.

        Raises:
            OSError: the disk is full; the earlier blocks stay, and the recording can be resumed. Or the folder was
                deleted or replaced.
        """
        with self._clear_when_full():
            self._check_place()
            self._blocks.append(batch)
            self.episodes += len(batch)
            self._blocks.join_when_full()

    def finish(self, facts: Mapping[str, Any] | None = None) -> Path:
        """Joins the small files, writes the card and everything else a reader needs, and renames the folder.

        Args:
            facts: facts for the provenance that are known only at the end.

        Raises:
            DatasetError: there is no episode.
            OSError: the disk is full; the recording can be resumed. Or the folder was deleted or replaced.
        """
        if not self.episodes:
            self.discard()
            raise DatasetError(
                f"{self.partial}: no episode was recorded, and an empty data set cannot be read; ask for at least 1"
            )
        self.provenance = {**self.provenance, **(facts or {})}
        with self._clear_when_full():
            self._check_place()
            self._blocks.join()
            self._describe()
            if self.tokenizer is not None:
                self.tokenizer.save_pretrained(str(self.partial / "tokenizer"))
            if self.out.exists():
                raise FileExistsError(
                    f"{self.out} appeared while it was recorded; the recording is whole in {self.partial}"
                )
            checksums.write_checksums(self.partial, self._blocks.sums, _COMMENTED)
            self._check_place()
            os.replace(self.partial, self.out)
        self.close()
        return self.out

    def close(self) -> None:
        """Releases the claim on the folder; an unfinished recording stays and can be resumed."""
        if self._place is not None:
            self._place.close()
        self._claim.release()

    def discard(self) -> None:
        """Deletes the unfinished folder, unless its claim was released: another process may then be writing it."""
        if self._claim.held:
            shutil.rmtree(self.partial, ignore_errors=True)
            self.close()

    def _describe(self) -> None:
        columns = Columns([Chunk.of(batch, str(path)) for path, batch in self._blocks.batches()])
        returns = columns.returns()
        found = {**self.provenance, "episodes": len(columns), "mean_return": float(returns.mean())}
        summary = describe(columns, None, found)
        self._write_json("dataset_info.json", {"features": features(self.columns)})
        state = {
            "_data_files": [{"filename": name} for name in self._blocks.sums],
            "_fingerprint": fingerprint_of(found),
        }
        fixed: dict[str, Any] = {
            "_format_columns": None,
            "_format_kwargs": {},
            "_format_type": None,
            "_output_all_columns": False,
            "_split": None,
        }
        self._write_json("state.json", {**state, **fixed})
        self._write_text("README.md", card(found, summary, returns))
        self._write_json("provenance.json", found)

    def _check_same(self) -> None:
        asked = json.loads(json.dumps(self.provenance))
        found = read_provenance(self.partial)
        there = {key: value for key, value in found.items() if key in asked or key not in RESULTS}
        different = [key for key in sorted(there.keys() | asked.keys()) if there.get(key) != asked.get(key)]
        if different:
            words = "; ".join(
                f"{key} is {_short(there.get(key))} there, {_short(asked.get(key))} was asked for" for key in different
            )
            raise DatasetError(
                f"{self.partial} belongs to another recording: {words}. Ask for the same again to resume it, "
                "delete it, or choose another folder"
            )

    def _write_json(self, name: str, value: dict[str, Any]) -> None:
        self._write_text(name, json.dumps(value, indent=2, allow_nan=False) + "\n")

    def _write_text(self, name: str, text: str) -> None:
        write_text(self.partial / name, text)

    def _check_place(self) -> None:
        if self._place is not None:
            self._place.check()

    def _clear(self, pattern: str) -> None:
        """Deletes what an interruption left; the files that mark the folder as a recording are deleted last."""
        for stray in sorted(self.partial.glob(pattern), key=lambda path: path.name == "provenance.json"):
            if stray.is_dir() and not stray.is_symlink():
                shutil.rmtree(stray)
            else:
                stray.unlink()

    @contextmanager
    def _clear_when_full(self) -> Iterator[None]:
        """Deletes half-written files after an error, and raises an error with ``advice`` if the disk is full."""
        try:
            yield
        except OSError as error:
            self._clear("*.tmp")
            self._check_place()
            tell_full_disk(error, self._advice.format(episodes=self.episodes, partial=self.partial))
            raise


def write_copy(
    out: str | os.PathLike[str],
    batches: Iterable[pa.RecordBatch],
    provenance: dict[str, Any],
    columns: pa.Schema,
    tokenizer: PreTrainedTokenizerFast | None,
) -> Path:
    """Writes episodes that exist elsewhere to a new folder, all or none; the arguments are those of ``Recording``.

    Raises:
        FileExistsError: the folder exists.
        OSError: the disk is full.
    """
    advice = "make room and save again"
    recording = Recording(out, provenance, columns, tokenizer, resume=False, advice=advice, copy=True)
    try:
        for batch in batches:
            recording.append(batch)
        return recording.finish()
    except BaseException:  # half a copy is of no use, because the episodes still exist at their source
        recording.discard()
        raise


def _check_ours(partial: Path) -> None:
    """Refuses a folder that no recording began, because its files would be overwritten or deleted.

    Raises:
        FileExistsError: the folder is a link, or it holds files but no ``provenance.json``, which a recording writes
            before any episode.
    """
    begun, before = partial / "provenance.json", {"provenance.json.tmp", "checksums.json", "checksums.json.tmp"}
    if partial.is_symlink() or (
        partial.exists() and not begun.exists() and any(file.name not in before for file in partial.iterdir())
    ):
        raise FileExistsError(
            f"{partial}, where the recording would go until it is whole, was made by something else: move it away, or "
            "choose another folder"
        )


def fingerprint_of(provenance: dict[str, Any]) -> str:
    """The fingerprint by which ``datasets`` names its caches; equal recordings have equal fingerprints."""
    import hashlib

    return hashlib.sha256(json.dumps(provenance, sort_keys=True).encode()).hexdigest()[:16]


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else text[:77] + "..."
