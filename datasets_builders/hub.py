"""Sends folders to the Hugging Face hub, and fetches those named ``hub:owner/name`` from it.

Nothing is sent or fetched unless somebody asks for it by such a name. ``HF_ENDPOINT`` is the address of the hub. With
``HF_HUB_OFFLINE=1`` only folders that were fetched before are available. The files that ``checksums.json`` lists are
fetched into the hub's own cache. The folder is then opened as any other: no code, no pickle.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, get_args

from datasets_builders.checksums import CHECKSUMS, read_entries

PREFIX = "hub:"
CARD = "README.md"
Kind = Literal["agent", "data", "results"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_TYPES = {"agent": "model", "data": "dataset", "results": "dataset"}
TEXTS = (".json", ".jsonl", ".md", ".txt", ".jinja", ".csv", ".html")
SUFFIXES = (*TEXTS, ".safetensors", ".arrow", ".png")
"""endings of the files that may be sent or fetched"""
_SECRETS = re.compile(
    r"\bhf_[A-Za-z0-9]{20,}|\bsk-[A-Za-z0-9_-]{20,}|\bghp_[A-Za-z0-9]{20,}|://[^/\s:@\"']+:[^/\s@\"']+@"
)
_AT_ONCE, _LAP = 2**20, 256  # characters that are searched at a time, and how many of these overlap


def local(source: str | os.PathLike[str], kind: Kind) -> Path:
    """The folder of a source: a name that begins with ``hub:`` is fetched, any other is a path.

    Args:
        source: a path, or "hub:owner/name", with "@revision" at the end for a revision that is not the newest.
        kind: the kind of content, which decides the type of repository.

    Raises:
        OSError: the repository cannot be fetched.
        ValueError: the name is not that of a repository, or the repository lists files of other kinds.
    """
    text = os.fspath(source)
    return _fetched(text.removeprefix(PREFIX), kind) if text.startswith(PREFIX) else Path(source)


def repository(name: str) -> str:
    """The name of a repository, checked.

    Raises:
        ValueError: it is not of the form owner/name.
    """
    from huggingface_hub.utils import validate_repo_id

    told = f"A repository on the hub is named owner/name, not {name!r}"
    if "/" not in name:  # the hub's own check accepts these, because its oldest models have no owner
        raise ValueError(f"{told}.")
    try:
        validate_repo_id(name)
    except ValueError as error:
        raise ValueError(f"{told}: {error}") from None
    return name


def _fetched(name: str, kind: Kind) -> Path:
    from huggingface_hub import hf_hub_download, snapshot_download

    name, _, revision = name.partition("@")
    repo: dict[str, Any] = {"repo_id": repository(name), "repo_type": _TYPES[kind]}
    with _asking(f"{PREFIX}{name} cannot be fetched"):
        listing = Path(hf_hub_download(**repo, filename=CHECKSUMS, revision=revision or None))
    entries = read_entries(listing.parent) or {}
    if odd := [file for file in entries if not file.endswith(SUFFIXES)]:
        raise ValueError(f"{PREFIX}{name} lists the file {odd[0]!r}, and only {', '.join(SUFFIXES)} are fetched.")
    with _asking(f"{PREFIX}{name} cannot be fetched"):
        commit = listing.parent.name  # all files are those of one commit
        wanted = [CHECKSUMS, CARD, *map(glob.escape, entries)]
        folder = snapshot_download(**repo, revision=commit, allow_patterns=wanted)
    return Path(folder)


def send(files: Mapping[str, Path], name: str, kind: Kind, private: bool = False) -> str:
    """Sends files to a repository in one commit, and makes the repository if there is none -> its address.

    Args:
        files: path in the repository -> file on this machine; checked by ``check_files``.
        name: "owner/name".
        kind: the kind of content, which decides the type of repository.
        private: whether a repository that is made here is private.

    Raises:
        OSError: the machine is offline, or the hub refuses.
        ValueError: a file must not be sent.
    """
    from huggingface_hub import CommitOperationAdd, HfApi
    from huggingface_hub.constants import is_offline_mode

    check_files(files)
    if is_offline_mode():
        raise OSError("HF_HUB_OFFLINE is set, so nothing is sent; unset it to push.")
    api, type_ = HfApi(), _TYPES[kind]
    added = [CommitOperationAdd(path_in_repo=place, path_or_fileobj=str(file)) for place, file in files.items()]
    with _asking(f"{name} cannot be sent to"):
        api.create_repo(repository(name), repo_type=type_, private=private or None, exist_ok=True)
        api.create_commit(name, added, commit_message="Sent by lang-envs push", repo_type=type_)
    return f"{api.endpoint}/{'' if type_ == 'model' else 'datasets/'}{name}"


def check_files(files: Mapping[str, Path]) -> None:
    """Refuses files that must not be sent.

    Raises:
        ValueError: a file is hidden, of an unknown kind, or holds what looks like a key or a password.
    """
    for place, file in files.items():
        if any(part.startswith(".") for part in Path(place).parts) or not place.endswith(SUFFIXES):
            raise ValueError(f"{file} is not sent: only files of {', '.join(SUFFIXES)} are, and no hidden files.")
        if place.endswith(TEXTS) and _holds_secret(file):
            raise ValueError(f"{file} is not sent: it holds what looks like a key or a password. Take it out first.")


def _holds_secret(file: Path) -> bool:
    with file.open(encoding="utf-8", errors="replace") as content:
        before = ""
        while part := content.read(_AT_ONCE):
            if _SECRETS.search(before + part):
                return True
            before = part[-_LAP:]
    return False


def results_files(folder: Path) -> dict[str, Path]:
    """The files of a folder of results that are sent: pages, pictures and tables, but no agents and no checkpoints.

    Raises:
        ValueError: the folder holds no such file.
    """
    left_out = {"agent", "checkpoints"}
    found = {file.relative_to(folder): file for file in sorted(folder.rglob("*")) if file.is_file()}
    kept = {
        place.as_posix(): file
        for place, file in found.items()
        if place.suffix in (*TEXTS, ".png") and not left_out & {*place.parts} and not place.name.startswith(".")
    }
    if not kept:
        raise ValueError(f"{folder} holds no pages, pictures or tables to send.")
    return kept


@contextmanager
def _asking(what: str) -> Iterator[None]:
    """Turns any error of the hub's client into an ``OSError`` that says what to check.

    Raises:
        OSError: the client raised an error.
    """
    try:
        yield
    except Exception as error:  # the client passes on errors of three other libraries
        told = " ".join(str(error).split())[:300]
        raise OSError(
            f"{what} ({type(error).__name__}: {told}). Is the name right, may you see it (HF_TOKEN), and can the hub "
            "be reached (HF_ENDPOINT, HF_HUB_OFFLINE)?"
        ) from None
