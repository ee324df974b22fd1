"""Finds corpora by name in the folder of downloaded data."""

from __future__ import annotations

import os
from glob import escape
from pathlib import Path

from lang_envs.corpora.files import CorpusError, data_folder
from lang_envs.file_names import component


def downloaded(kind: str, name: str) -> list[Path]:
    """The file or folder ``name`` in the folder ``kind`` of downloaded corpora, or all whose names begin with ``name``.

    A name has parts, as a path has. Each part may be the beginning of a name: ``openbookqa/train`` means all files that
    begin with "train" in the folders that begin with "openbookqa".

    Raises:
        CorpusError: there is no file or folder of that name, or no such folder ``kind``.
        ValueError: a part cannot be the name of a file.
    """
    parts = [component(part, "the name of a corpus") for part in name.split("/")]
    root = data_folder(kind, name)
    found = [root]
    for part in parts:
        found = [path for folder in found for path in _called(part, folder)]
    if not found:
        raise CorpusError(f"{root}: there is no {name!r} here; download it there, or pass its path")
    return found


def is_downloaded(kind: str, name: str) -> bool:
    """Whether :func:`downloaded` finds something."""
    try:
        return bool(downloaded(kind, name))
    except CorpusError:
        return False


def _called(name: str, folder: Path) -> list[Path]:
    exact = folder / name
    return [exact] if exact.exists() else sorted(folder.glob(f"{escape(name)}*"))


def located(kind: str, corpus: str | os.PathLike[str]) -> list[Path]:
    """The files of a corpus: the path ``corpus``, or the downloaded corpora of that name (:func:`downloaded`).

    Raises:
        CorpusError: there is neither.
    """
    path = Path(corpus)
    if path.exists():
        return [path]
    missing = f"there is no file or folder {str(corpus)!r}"
    try:
        return downloaded(kind, str(corpus))
    except CorpusError as error:
        raise CorpusError(f"{missing}, nor a corpus of that name: {error}") from None
    except ValueError:  # a path that cannot be a name
        raise CorpusError(f"{missing}; pass the path of one") from None
