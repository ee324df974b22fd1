"""Damage to a recorded data set or a saved agent: to any file in the folder."""

from __future__ import annotations

import json
import os
import shutil
import struct
from dataclasses import dataclass
from pathlib import Path

from damage import Bytes, Edit, of_bytes, of_json, write_json
from hypothesis import strategies as st

CHECKSUMS = "checksums.json"
OTHER = ("deleted", "a folder", "a link to nothing", "a link to the null device", "swapped")


@dataclass(frozen=True)
class Damaged:
    """What is done to one file of a folder."""

    base: str
    """which of several sound folders"""
    file: str
    damage: Bytes | Edit | str
    header: bool = False
    """whether the edit is of a safetensors header"""
    checksums: bool = True
    """whether the folder keeps its checksums; earlier versions wrote none"""

    def apply(self, sound: Path, folder: Path) -> None:
        """Makes a damaged copy of the folder ``sound``."""
        shutil.copytree(sound, folder)
        if not self.checksums:
            (folder / CHECKSUMS).unlink(missing_ok=True)
        file = folder / self.file
        content = file.read_bytes()
        if isinstance(self.damage, Bytes):
            file.write_bytes(self.damage.apply(content))
        elif isinstance(self.damage, Edit):
            edit = _edited_header if self.header else _edited
            file.write_bytes(edit(content, self.damage))
        else:
            file.unlink()
            self._replace(file)

    def _replace(self, file: Path) -> None:
        match self.damage:
            case "a folder":
                file.mkdir()
            case "a link to nothing":
                os.symlink("/nowhere/at/all", file)
            case "a link to the null device":
                os.symlink(os.devnull, file)
            case "swapped":
                others = sorted(path for path in file.parent.iterdir() if path.is_file())
                if others:
                    shutil.copy(others[0], file)


@st.composite
def damaged(draw: st.DrawFn, bases: dict[str, Path]) -> Damaged:
    """Half of the folders keep their checksums, and half of the damage is to the files that hold the most."""
    base = draw(st.sampled_from(sorted(bases)))
    folder = bases[base]
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    large = [file for file in files if file.endswith((".arrow", ".safetensors"))]
    file, checksums = draw(st.sampled_from(large if draw(st.booleans()) else files)), draw(st.booleans())
    if file == CHECKSUMS:
        checksums = True
    kind = draw(st.sampled_from(("bytes", "edit", "edit", "other")))
    content = (folder / file).read_bytes()
    if kind == "edit" and file.endswith(".json"):
        return Damaged(base, file, draw(of_json(json.loads(content))), checksums=checksums)
    if kind == "edit" and file.endswith(".safetensors"):
        return Damaged(base, file, draw(of_json(_header(content))), header=True, checksums=checksums)
    if kind == "other":
        return Damaged(base, file, draw(st.sampled_from(OTHER)), checksums=checksums)
    return Damaged(base, file, draw(of_bytes()), checksums=checksums)


def _edited(content: bytes, edit: Edit) -> bytes:
    return write_json(edit.apply(json.loads(content)))


def _header(content: bytes) -> dict[str, object]:
    (size,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + size])  # type: ignore[no-any-return]


def _edited_header(content: bytes, edit: Edit) -> bytes:
    (size,) = struct.unpack("<Q", content[:8])
    header = write_json(edit.apply(_header(content)))
    return struct.pack("<Q", len(header)) + header + content[8 + size :]
