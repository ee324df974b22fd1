"""Attacks on whole files: other compressions, other encodings, other content than text."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import zstandard

if TYPE_CHECKING:
    from corpus_files import Source


def zipped(members: dict[str, bytes]) -> bytes:
    """A zip archive."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return packed.getvalue()


PACKED: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zstandard.ZstdCompressor(write_checksum=True).compress,
    ".zip": lambda content: zipped({"inner": content}),
}


@dataclass(frozen=True)
class Attack:
    """What is written in the place of a source's file."""

    make: Callable[[bytes], bytes]
    ending: str = ""
    keeps_content: bool = False
    """whether the source's records are all in it, so that it is refused or read as they are"""
    of_any_file: bool = True
    """whether it makes sense for files that are no text"""

    def write(self, folder: Path, source: Source) -> Path:
        """Writes it and returns its path."""
        return source.write(folder, self.make(source.content), self.ending)


def _in_header(archive: bytes, local: int, central: int, value: int) -> bytes:
    """A zip with a field of two bytes changed in both headers of its first member."""
    changed = bytearray(archive)
    changed[local : local + 2] = value.to_bytes(2, "little")
    place = changed.find(b"PK\x01\x02") + central
    changed[place : place + 2] = value.to_bytes(2, "little")
    return bytes(changed)


def _encoded(name: str) -> Callable[[bytes], bytes]:
    return lambda content: content.decode().replace("e", "\u00e9", 1).encode(name, "replace")


@cache
def _bomb(ending: str) -> bytes:
    """Four gigabytes of one line, in a few megabytes."""
    opening, part = b'["' + b"a" * 2**20, b"a" * 2**26
    if ending == ".gz":
        packer = zlib.compressobj(1, zlib.DEFLATED, 31)
        return gzip.compress(opening) + (packer.compress(part) + packer.flush()) * 64
    pack = PACKED[".zst"]
    return pack(opening) + pack(part) * 64


def _text(content: bytes) -> Attack:
    return Attack(lambda _: content)


ATTACKS: dict[str, Attack] = {
    **{f"packed as {ending}": Attack(pack, ending, True, False) for ending, pack in PACKED.items()},
    **{f"named {ending} but plain": Attack(bytes, ending, True, False) for ending in PACKED},
    **{f"{ending} of noise": Attack(lambda _: os.urandom(500), ending, False, False) for ending in PACKED},
    "packed twice": Attack(lambda content: gzip.compress(gzip.compress(content)), ".gz", True, False),
    "a byte order mark": Attack(lambda content: b"\xef\xbb\xbf" + content, "", True, False),
    "Windows line ends": Attack(
        lambda content: content.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"), "", True, False
    ),
    **{name: Attack(_encoded(name), "", True, False) for name in ("utf-16", "utf-32", "latin-1", "utf-7")},
    "an empty zip": Attack(lambda _: zipped({}), ".zip"),
    "a zip of two": Attack(lambda content: zipped({"a": content, "b": content}), ".zip", True, False),
    "a zip that climbs": Attack(lambda content: zipped({"../../climbed": content}), ".zip", True, False),
    "a zip of a folder": Attack(lambda content: zipped({"inner/": b""}), ".zip"),
    "an encrypted zip": Attack(lambda content: _in_header(zipped({"inner": content}), 6, 8, 1), ".zip", True, False),
    "a zip of an unknown method": Attack(
        lambda content: _in_header(zipped({"inner": content}), 8, 10, 99), ".zip", True, False
    ),
    "a zip cut short": Attack(lambda content: zipped({"inner": content})[:-7], ".zip", True, False),
    "a zip that lies about its size": Attack(
        lambda content: _in_header(zipped({"inner": content}), 22, 24, 7), ".zip", True, False
    ),
    "a list 100,000 deep": _text(b"[" * 100_000 + b"]" * 100_000),
    "an object 50,000 deep": _text(b'{"a":' * 50_000 + b"1" + b"}" * 50_000),
    "an integer of 5,000 digits": _text(b"9" * 5000),
    "an integer of 5,000 digits in a list": _text(b'[{"id": ' + b"9" * 5000 + b"}]"),
    "NUL bytes": _text(b"\0" * 1000),
    "a NUL byte within": Attack(lambda content: content[:20] + b"\0" + content[20:], "", False, False),
    "a field of a megabyte": Attack(
        lambda content: content.rstrip(b"\n") + b"\n" + b"x" * 2**20 + b"," * 9 + b"\n", "", False, False
    ),
    "a quote left open": Attack(lambda content: content + b'"' + b"x" * 200_000, "", False, False),
    "a gzip bomb": Attack(lambda _: _bomb(".gz"), ".gz", False, False),
    "a zstandard bomb": Attack(lambda _: _bomb(".zst"), ".zst", False, False),
    **{
        f"the text {text}": _text(text.encode())
        for text in ("", "\n\n", "null", "NaN", "[]", "{}", "[null]", "[[]]", "[{}]", '"x"', "1e400", '{"data": {}}')
    },
}
