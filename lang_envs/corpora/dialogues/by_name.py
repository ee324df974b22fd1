"""Loads dialogue corpora by name: the built-in one, those in the folder of downloaded data, and files of the user."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TypeVar

from lang_envs.corpora.by_name import downloaded
from lang_envs.corpora.dialogues import abcd, multiwoz, plain, service, taskmaster
from lang_envs.corpora.dialogues.dialogue import Dialogue, Example, examples, in_split
from lang_envs.corpora.files import CorpusError
from lang_envs.corpora.read_once import read_once

T = TypeVar("T")
FEEDBACK = "taskmaster-feedback"


def _once(read: Callable[[Path], Iterator[T]]) -> Callable[[Path], tuple[T, ...]]:
    return read_once(4)(lambda path: tuple(read(path)))


READERS: dict[str, Callable[[Path], tuple[Dialogue, ...]]] = {
    "multiwoz": _once(multiwoz.read),
    "sgd": _once(multiwoz.read),
    "abcd": _once(abcd.read),
    "taskmaster": _once(taskmaster.read),
}
"""The reader by the beginning of a corpus's name: ``multiwoz``, ``multiwoz21`` and ``multiwoz22`` have one reader."""

_plain, _verdicts = _once(plain.read), _once(taskmaster.read_verdicts)
log = logging.getLogger(__name__)


def load(corpus: str | os.PathLike[str], split: str, path: str | os.PathLike[str] | None = None) -> tuple[Example, ...]:
    """The examples of one split of a corpus. The time of reading is logged.

    Files that were read before and have not changed are not read again.

    Args:
        corpus: "service", the built-in corpus; a name of ``READERS``; "taskmaster-feedback", the single replies that
            people approved of; or the path of a file or folder of plain JSON lines.
        split: "train", "validation" or "test".
        path: the folder of a named corpus; by default the folder of that name in ``$LANG_ENVS_DATA/dialogue``, or the
            first folder whose name begins with it.

    Raises:
        CorpusError: there is no such corpus, or one of its files does not follow its format.
        ValueError: the split is unknown, no agent speaks in it, or a path is given for the built-in corpus.
    """
    started = time.perf_counter()
    name = str(corpus)
    if name == "service" and path is not None:
        raise ValueError(f"the corpus 'service' is built in and has no path; say which corpus lies at {str(path)!r}")
    if name == "service":
        found = _built_in(split)
    elif name == FEEDBACK:
        approved = [verdict for verdict in verdicts(split, path) if verdict.reward == 1 and not verdict.is_api_call]
        found = tuple(Example((*v.context, ("agent", v.reply)), len(v.context)) for v in approved)
    else:
        found = tuple(examples(in_split(_read(name, path), split)))
    if not found:
        raise ValueError(f"{name}: expected replies of an agent in the split {split!r}, got none")
    log.info("%s: %s replies (%s) read in %.1f s", name, len(found), split, time.perf_counter() - started)
    return found


def verdicts(split: str, path: str | os.PathLike[str] | None = None) -> list[taskmaster.Verdict]:
    """People's verdicts on replies, from all Taskmaster folders or from one file or folder; splits are by dialogue.

    Raises:
        CorpusError, ValueError: as :func:`load`.
    """
    folders = downloaded("dialogue", "taskmaster") if path is None else [Path(path)]
    found = [verdict for folder in folders for verdict in _verdicts(folder)]
    chosen = {dialogue.id for dialogue in in_split([Dialogue(verdict.dialogue, ()) for verdict in found], split)}
    return [verdict for verdict in found if verdict.dialogue in chosen]


def _read(name: str, path: str | os.PathLike[str] | None) -> tuple[Dialogue, ...]:
    if path is None and name not in READERS and Path(name).exists():
        return _plain(Path(name))
    reader = next((reader for begin, reader in READERS.items() if name.startswith(begin)), None)
    if reader is None:
        raise CorpusError(
            f"there is no dialogue corpus {name!r}; expected 'service', {FEEDBACK!r}, a name that begins with one of "
            f"{list(READERS)}, or the path of a JSON lines file"
        )
    return reader(downloaded("dialogue", name)[0] if path is None else Path(path))


@cache
def _built_in(split: str) -> tuple[Example, ...]:
    return tuple(examples(in_split(list(service.read()), split)))
