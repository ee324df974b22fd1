"""Opens plain and compressed files; the ending of the name tells the compression."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from lang_envs.corpora.bytes_read import opens_bytes
from lang_envs.corpora.limits import expands_too_far, largest_expansion

_UNCHECKED = 2**24  # bytes at the beginning of a file whose ratio is not checked, because of headers and runs of blanks
_PIECE = 2**16  # bytes that are unpacked at once
_ZST_PIECE = 2**11  # compressed bytes; the library unpacks all of them at once, to 64 MiB at most


def open_bytes(path: Path) -> BinaryIO:
    """Opens a file, and unpacks it if its name ends in .gz, .tgz, .bz2, .xz, .zst or .zip (with one file).

    Raises:
        OSError: the file cannot be opened.
        ValueError: a zip does not hold exactly one file.
        Exception: one of :func:`faults`, here or while it is read: the file is damaged, encrypted or too large.
    """
    packed = path.open("rb")
    opens_bytes(path, packed)
    unpack = _UNPACK.get(path.suffix.lower())
    if unpack is None:
        return packed
    try:
        return io.BufferedReader(_Onward(unpack(packed), packed), _PIECE)
    except BaseException:
        packed.close()
        raise


def faults() -> tuple[type[Exception], ...]:
    """The errors that reading a damaged, encrypted or too large file may raise."""
    import zstandard

    of_formats = (zlib.error, lzma.LZMAError, zstandard.ZstdError, zipfile.BadZipFile, struct.error)
    # RuntimeError: a zip is encrypted, or its compression is not known
    return (*of_formats, OSError, EOFError, RuntimeError, OverflowError, MemoryError)


def onward(content: Any) -> BinaryIO:
    """Wraps a file without seeking (a member of an archive), so that text can be read from it."""
    return io.BufferedReader(_Onward(content, None), _PIECE)


class _Onward(io.RawIOBase):
    """The content of a compressed file; it refuses one that expands much further than compressed text does."""

    def __init__(self, content: Any, packed: BinaryIO | None) -> None:
        self._content, self._packed, self._size, self._most = content, packed, 0, largest_expansion()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self._content.read(min(len(buffer), _PIECE))
        self._size += len(piece)
        if self._packed and self._size > max(_UNCHECKED, self._most * self._packed.tell()):
            raise expands_too_far()
        buffer[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        self._content.close()
        if self._packed:
            self._packed.close()
        super().close()


class _Zst(io.RawIOBase):
    """The bytes of a .zst file. The library's own reader does not notice a file that was cut short."""

    def __init__(self, packed: BinaryIO) -> None:
        import zstandard

        # Reddit dumps are compressed with a window of 2 GiB, far beyond the library's default.
        self._unpacker = zstandard.ZstdDecompressor(max_window_size=2**31)
        self._packed, self._ready = packed, memoryview(b"")
        self._frame: Any = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            left = self._frame.unused_data if self._frame and self._frame.eof else b""
            more = left or self._packed.read(_ZST_PIECE)
            if not more:
                if self._frame and not self._frame.eof:
                    raise EOFError("the last frame is not whole")
                return 0
            if self._frame is None or self._frame.eof:
                self._frame = self._unpacker.decompressobj()
            self._ready = memoryview(self._frame.decompress(more))
        size = min(len(buffer), len(self._ready))
        buffer[:size], self._ready = self._ready[:size], self._ready[size:]
        return size


def _zip(packed: BinaryIO) -> Any:
    archive = zipfile.ZipFile(packed)
    members = [name for name in archive.namelist() if not name.endswith("/") and not name.startswith("__MACOSX")]
    if len(members) != 1:
        raise ValueError(f"expected a zip of one file, got {len(members)}: {members[:5]!r:.200}; unpack it first")
    return archive.open(members[0])


_UNPACK: dict[str, Callable[[BinaryIO], Any]] = {
    ".gz": lambda packed: gzip.GzipFile(fileobj=packed),
    ".tgz": lambda packed: gzip.GzipFile(fileobj=packed),
    ".bz2": bz2.BZ2File,
    ".xz": lzma.LZMAFile,
    ".zst": lambda packed: io.BufferedReader(_Zst(packed)),
    ".zip": _zip,
}
