"""The folder of a data set in the making: blocks that are whole or absent, few large files, renamed when done.

While it is made, ``<out>.partial`` holds files named ``data-<first block>-<last block>.arrow``. A block is one small
file; when the small files reach 128 MB together they are joined into one. Every file is written under a temporary
name and renamed, so whatever interrupts the recording, what has a proper name is whole. It counts once its checksum is
taken down in ``checksums.json``, and is held against that whenever it is read again.
"""

from __future__ import annotations

import json
import os
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from datasets_builders import checksums
from datasets_builders.atomic import tell_full_disk, write_text
from datasets_builders.blocks import BlockFile, block_name
from datasets_builders.card import card, describe
from datasets_builders.claim import Claim, Place
from datasets_builders.columns import Columns
from datasets_builders.provenance import RESULTS, read_provenance
from datasets_builders.storage import DatasetError, features, read_arrow, write_arrow
from datasets_builders.views import Chunk

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

_COMMENTED = ("README.md",)  # may be edited: nothing reads it back
FILE_BYTES = 128 * 2**20
"""What one record batch holds at most (a single larger block stays as it is); joining needs as much memory."""


_ANEW = "delete the folder to record it anew"
KEPT = "{episodes} episodes are safe in {partial}"


class Recording:
    """Collects blocks of episodes in ``<out>.partial`` and renames it to ``out`` when they are all there.

    Attributes:
        episodes: how many are safely on disk.
        next_block: the first block that is not.

    Args:
        out: the finished folder; must not exist.
        provenance: what every run of the same recording has in common; an existing partial folder must have the same.
        columns: of ``storage.schema``.
        tokenizer: saved beside the episodes; None where there is none.
        resume: whether an existing partial folder is continued; else it is an error.
        copy: what is written is at hand elsewhere. Until it is whole the folder is called ``<out>.copying``, and what
            is left of a copy that was stopped is deleted, as no recording ever is.
        advice: what to do about a full disk; may name ``{episodes}`` and ``{partial}``.

    Raises:
        FileExistsError: where ``out`` exists, or its partial folder does and ``resume`` is False.
        DatasetError: where the partial folder belongs to another recording, or is damaged.
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
        """Makes the partial folder, or takes up what is in it."""
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
        """Begins, or goes on where an earlier run was stopped."""
        blocks = sorted(self.partial.glob("data-*.arrow"))
        if (self.partial / "provenance.json").exists():
            self._check_same()
        else:
            checksums.write_entries(self.partial, {})
            self._write_json("provenance.json", self.provenance)
        self._sums = self._taken_down(blocks)
        self._files = self._whole_files(blocks)
        self.next_block = self._files[-1].last + 1 if self._files else 0
        self.episodes = sum(len(batch) for file in self._files for batch in self._read(file))
        self._join_when_full()  # the interrupted run may have died just before

    def append(self, batch: pa.RecordBatch) -> None:
        """Writes the next block.

        Raises:
            OSError: where the disk is full; the blocks before stay, and the recording can be resumed. Where the folder
                was deleted or replaced.
        """
        block = self.next_block
        with self._clear_when_full():
            self._check_place()
            file = BlockFile(block, block, self.partial / block_name(block, block))
            self._write(file, batch)
            self._files.append(file)
            self.next_block, self.episodes = block + 1, self.episodes + len(batch)
            self._join_when_full()

    def finish(self, facts: Mapping[str, Any] | None = None) -> Path:
        """Joins what is left, writes the card and everything else a reader needs, and renames the folder.

        Args:
            facts: of the provenance, as are known only now.

        Raises:
            DatasetError: where there is no episode.
            OSError: where the disk is full; the recording can be resumed. Where the folder was deleted or replaced.
        """
        if not self.episodes:
            self.discard()
            raise DatasetError(
                f"{self.partial}: no episode was recorded, and an empty data set cannot be read; ask for at least 1"
            )
        self.provenance = {**self.provenance, **(facts or {})}
        with self._clear_when_full():
            self._check_place()
            self._join(self._loose())
            self._describe()
            if self.tokenizer is not None:
                self.tokenizer.save_pretrained(str(self.partial / "tokenizer"))
            if self.out.exists():
                raise FileExistsError(
                    f"{self.out} appeared while it was recorded; the recording is whole in {self.partial}"
                )
            checksums.write_checksums(self.partial, self._sums, _COMMENTED)
            self._check_place()
            os.replace(self.partial, self.out)
        self.close()
        return self.out

    def close(self) -> None:
        """Lets go of the folder; what was not finished stays to be resumed."""
        if self._place is not None:
            self._place.close()
        self._claim.release()

    def discard(self) -> None:
        """Deletes the unfinished folder, unless it was let go of: by then it may be another's."""
        if self._claim.held:
            shutil.rmtree(self.partial, ignore_errors=True)
            self.close()

    # What lies in the folder

    def _taken_down(self, blocks: list[Path]) -> dict[str, checksums.Entry]:
        """The checksums of the blocks that count."""
        try:
            found = checksums.read_entries(self.partial)
        except ValueError as error:
            raise DatasetError(f"{error} Or {_ANEW}") from error
        if found is not None:
            return {name: entry for name, entry in found.items() if name.startswith("data-")}
        warnings.warn(
            f"{self.partial} has no {checksums.CHECKSUMS} (an earlier version began it, or the file was removed): its "
            f"{len(blocks)} files of episodes are taken as they are.",
            stacklevel=5,
        )
        return {path.name: checksums.entry_of(path) for path in blocks}

    def _whole_files(self, blocks: list[Path]) -> list[BlockFile]:
        """The files that count, in order.

        What a crash left is deleted: a file whose checksum was not yet taken down, a small one beside the large one
        that holds it.
        """
        for path in blocks:
            if path.name not in self._sums:
                path.unlink()
        files: list[BlockFile] = []
        for file in sorted(
            (BlockFile.of(self.partial / name) for name in self._sums), key=lambda file: (file.first, -file.last)
        ):
            if files and file.last <= files[-1].last:
                file.path.unlink(missing_ok=True)
                continue
            expected = files[-1].last + 1 if files else 0
            if file.first != expected:
                raise DatasetError(f"{self.partial}: expected block {expected}, found {file.path.name}; {_ANEW}")
            files.append(file)
        self._sums = {file.path.name: self._sums[file.path.name] for file in files}
        return files

    def _write(self, file: BlockFile, batch: pa.RecordBatch, instead_of: Sequence[BlockFile] = ()) -> None:
        """Writes a file and takes its checksum down; from then on it counts, and others do not any more."""
        write_arrow(file.path, [batch], self.columns)
        gone = {other.path.name for other in instead_of}
        sums = {name: entry for name, entry in self._sums.items() if name not in gone}
        sums[file.path.name] = checksums.entry_of(file.path)
        checksums.write_entries(self.partial, sums)
        self._sums = sums

    def _read(self, file: BlockFile) -> list[pa.RecordBatch]:
        """What was written.

        Raises:
            DatasetError: it is not there any more.
        """
        try:
            checksums.compare(file.path, self._sums[file.path.name])
        except ValueError as error:
            raise DatasetError(f"{error} Or {_ANEW}") from error
        batches = read_arrow(file.path)
        if any(batch.schema != self.columns for batch in batches):
            raise DatasetError(f"{file.path}: expected the columns {self.columns}; {_ANEW}")
        return batches

    def _loose(self) -> list[BlockFile]:
        """The files at the end that are not joined yet: those of one block and less than a full file."""
        first = len(self._files)
        while first and self._files[first - 1].first == self._files[first - 1].last and not self._is_full(first - 1):
            first -= 1
        return self._files[first:]

    def _is_full(self, index: int) -> bool:
        return self._files[index].path.stat().st_size >= FILE_BYTES

    def _join_when_full(self) -> None:
        loose = self._loose()
        if sum(file.path.stat().st_size for file in loose) >= FILE_BYTES:
            self._join(loose)

    def _join(self, files: list[BlockFile]) -> None:
        if len(files) < 2:
            return
        batch = pa.concat_batches([batch for file in files for batch in self._read(file)])
        joined = BlockFile(files[0].first, files[-1].last, self.partial / block_name(files[0].first, files[-1].last))
        self._write(joined, batch, instead_of=files)
        for file in files:
            file.path.unlink()
        self._files[-len(files) :] = [joined]

    def _describe(self) -> None:
        names = [file.path.name for file in self._files]
        chunks = [Chunk.of(batch, str(file.path)) for file in self._files for batch in self._read(file)]
        columns = Columns(chunks)
        returns = columns.returns()
        found = {**self.provenance, "episodes": len(columns), "mean_return": float(returns.mean())}
        summary = describe(columns, None, found)
        self._write_json("dataset_info.json", {"features": features(self.columns)})
        state = {"_data_files": [{"filename": name} for name in names], "_fingerprint": fingerprint_of(found)}
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
        """Deletes what an interruption left; what tells that the folder is ours goes last."""
        for stray in sorted(self.partial.glob(pattern), key=lambda path: path.name == "provenance.json"):
            if stray.is_dir() and not stray.is_symlink():
                shutil.rmtree(stray)
            else:
                stray.unlink()

    @contextmanager
    def _clear_when_full(self) -> Iterator[None]:
        """Turns the failure to write into words; what was whole before stays whole."""
        try:
            yield
        except OSError as error:
            self._clear("*.tmp")
            self._check_place()
            tell_full_disk(error, self._advice.format(episodes=self.episodes, partial=self.partial))
            raise


def _check_ours(partial: Path) -> None:
    """Refuses a folder that no recording began: its files would be written over, or removed.

    Raises:
        FileExistsError: it holds something and no provenance.json, which a recording writes before any episode, or it
            is a link.
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
    """What ``datasets`` names its caches by: equal recordings, equal names."""
    import hashlib

    return hashlib.sha256(json.dumps(provenance, sort_keys=True).encode()).hexdigest()[:16]


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else text[:77] + "..."
