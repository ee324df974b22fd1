"""Corpora by name: those that lie in the folder of downloaded data, so that nobody needs to say where that is."""

from __future__ import annotations

import os
from glob import escape
from pathlib import Path

from lang_envs.corpora.files import CorpusError, data_folder
from lang_envs.file_names import component


def downloaded(kind: str, name: str) -> list[Path]:
    """What is called ``name`` in the folder ``kind`` of the downloaded corpora, or else all whose names begin so.

    A name has parts, as a path has, and each may be the beginning of one: ``openbookqa/train`` is what begins with
    "train" in the folders that begin with "openbookqa".

    Raises:
        CorpusError: nothing is called so, or there is no such folder.
        ValueError: a part cannot be the name of a file.
    """
    parts = [component(part, "the name of a corpus") for part in name.split("/")]
    root = data_folder(kind)
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
    """Where a corpus lies: at the path ``corpus``, or under that name among the downloaded ones (:func:`downloaded`).

    Raises:
        CorpusError: neither is there.
    """
    path = Path(corpus)
    if path.exists():
        return [path]
    missing = f"there is no file or folder {str(corpus)!r}"
    try:
        return downloaded(kind, str(corpus))
    except CorpusError as error:
        raise CorpusError(f"{missing}, nor a corpus of that name: {error}") from None
    except ValueError:  # a path of several parts, which is no name
        raise CorpusError(f"{missing}; pass the path of one") from None
