"""The files of episodes in the folder of a recording: blocks that are whole or absent, joined into few large files.

They are named ``data-<first block>-<last block>.arrow``. Each new block is one small file. When the small files reach
128 MB together, they are joined into one. A file counts once its checksum is recorded in ``checksums.json``. The file
is compared with this checksum each time it is read again.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from datasets_builders import checksums
from datasets_builders.storage import DatasetError, read_arrow, write_arrow

FILE_BYTES = 128 * 2**20
"""The size from which small files are joined into one record batch. Joining needs about as much memory."""
_ANEW = "delete the folder to record it anew"


class BlockFile(NamedTuple):
    """Blocks ``first`` to ``last`` of a recording, as one record batch."""

    first: int
    last: int
    path: Path

    @classmethod
    def of(cls, path: Path) -> BlockFile:
        """Reads the block numbers from the file's name.

        Raises:
            DatasetError: the name has no block numbers.
        """
        numbers = re.fullmatch(r"data-(\d{8,})-(\d{8,})\.arrow", path.name)
        if numbers is None:
            raise DatasetError(f"{path}: expected a name such as {block_name(0, 3)}; take the file away")
        return cls(int(numbers[1]), int(numbers[2]), path)


def block_name(first: int, last: int) -> str:
    """The name of the file of these blocks."""
    return f"data-{first:08d}-{last:08d}.arrow"


class BlockFiles:
    """The files of a folder that count, in order.

    What a crash left beside them is deleted.

    Args:
        folder: the folder of the recording. It has a ``checksums.json``, unless an earlier version began the recording.
        columns: the columns, from ``storage.schema``.

    Attributes:
        sums: the checksum of each file, by name.

    Raises:
        DatasetError: a block is missing, or a file's name has no block numbers.
    """

    def __init__(self, folder: Path, columns: pa.Schema) -> None:
        self.folder, self.columns = folder, columns
        blocks = sorted(folder.glob("data-*.arrow"))
        self.sums = self._taken_down(blocks)
        self._files = self._whole(blocks)

    @property
    def next(self) -> int:
        """The number of the first block that is not on disk."""
        return self._files[-1].last + 1 if self._files else 0

    def batches(self) -> Iterator[tuple[Path, pa.RecordBatch]]:
        """Each record batch that was written, with its file.

        Raises:
            DatasetError: a file is missing or was changed.
        """
        for file in self._files:
            for batch in self._read(file):
                yield file.path, batch

    def append(self, batch: pa.RecordBatch) -> None:
        """Writes the next block.

        Raises:
            OSError: the file cannot be written.
        """
        file = BlockFile(self.next, self.next, self.folder / block_name(self.next, self.next))
        self._write(file, batch)
        self._files.append(file)

    def join_when_full(self) -> None:
        """Joins the small files if together they have reached 128 MB."""
        loose = self._loose()
        if sum(file.path.stat().st_size for file in loose) >= FILE_BYTES:
            self._join(loose)

    def join(self) -> None:
        """Joins the small files, however few they are."""
        self._join(self._loose())

    def _taken_down(self, blocks: list[Path]) -> dict[str, checksums.Entry]:
        """The checksums of the blocks that count."""
        try:
            found = checksums.read_entries(self.folder)
        except ValueError as error:
            raise DatasetError(f"{error} Or {_ANEW}") from error
        if found is not None:
            return {name: entry for name, entry in found.items() if name.startswith("data-")}
        warnings.warn(
            f"{self.folder} has no {checksums.CHECKSUMS} (an earlier version began it, or the file was removed): its "
            f"{len(blocks)} files of episodes are taken as they are.",
            stacklevel=6,
        )
        return {path.name: checksums.entry_of(path) for path in blocks}

    def _whole(self, blocks: list[Path]) -> list[BlockFile]:
        """The files that count, in order.

        What a crash left is deleted: a file whose checksum was not yet recorded, and small files whose blocks a large
        file holds too.
        """
        for path in blocks:
            if path.name not in self.sums:
                path.unlink()
        files: list[BlockFile] = []
        for file in sorted(
            (BlockFile.of(self.folder / name) for name in self.sums), key=lambda file: (file.first, -file.last)
        ):
            if files and file.last <= files[-1].last:
                file.path.unlink(missing_ok=True)
                continue
            expected = files[-1].last + 1 if files else 0
            if file.first != expected:
                raise DatasetError(f"{self.folder}: expected block {expected}, found {file.path.name}; {_ANEW}")
            files.append(file)
        self.sums = {file.path.name: self.sums[file.path.name] for file in files}
        return files

    def _write(self, file: BlockFile, batch: pa.RecordBatch, instead_of: Sequence[BlockFile] = ()) -> None:
        """Writes a file and records its checksum; from then on it counts, and the files ``instead_of`` do not."""
        write_arrow(file.path, [batch], self.columns)
        gone = {other.path.name for other in instead_of}
        sums = {name: entry for name, entry in self.sums.items() if name not in gone}
        sums[file.path.name] = checksums.entry_of(file.path)
        checksums.write_entries(self.folder, sums)
        self.sums = sums

    def _read(self, file: BlockFile) -> list[pa.RecordBatch]:
        """The record batches of a file.

        Raises:
            DatasetError: the file is missing, was changed, or has other columns.
        """
        try:
            checksums.compare(file.path, self.sums[file.path.name])
        except ValueError as error:
            raise DatasetError(f"{error} Or {_ANEW}") from error
        batches = read_arrow(file.path)
        if any(batch.schema != self.columns for batch in batches):
            raise DatasetError(f"{file.path}: expected the columns {self.columns}; {_ANEW}")
        return batches

    def _loose(self) -> list[BlockFile]:
        """The files at the end that are not joined yet: each holds one block and is smaller than 128 MB."""
        first = len(self._files)
        while first and self._files[first - 1].first == self._files[first - 1].last and not self._is_full(first - 1):
            first -= 1
        return self._files[first:]

    def _is_full(self, index: int) -> bool:
        return self._files[index].path.stat().st_size >= FILE_BYTES

    def _join(self, files: list[BlockFile]) -> None:
        if len(files) < 2:
            return
        batch = pa.concat_batches([batch for file in files for batch in self._read(file)])
        joined = BlockFile(files[0].first, files[-1].last, self.folder / block_name(files[0].first, files[-1].last))
        self._write(joined, batch, instead_of=files)
        for file in files:
            file.path.unlink()
        self._files[-len(files) :] = [joined]
