"""Dialogue: the value that every reader returns; its splits and its examples; and what the readers share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lang_envs.conversation import Conversation, assistant, user
from lang_envs.corpora.files import CorpusError
from lang_envs.corpora.records import brief, shown
from lang_envs.tokenizers import whole

Turns = tuple[tuple[str, str], ...]
"""(speaker, text) in order; the speaker is "user" or "agent"."""

SPLITS = ("train", "validation", "test")
_SPLIT_NAMES = {name: name for name in SPLITS} | {"dev": "validation", "val": "validation", "valid": "validation"}
_SUFFIXES = ("", ".gz", ".bz2", ".xz", ".zst", ".zip")


@dataclass(frozen=True)
class Dialogue:
    """A conversation of a user with an agent."""

    id: str
    turns: Turns
    split: str | None = None
    """"train", "validation" or "test"; None if the file does not say"""


class Example(NamedTuple):
    """One agent turn and all that was said before it."""

    turns: Turns
    """the turns of the whole dialogue, shared by its examples"""
    at: int
    """index of the agent's response among them"""

    @property
    def context(self) -> Conversation:
        """The conversation before the response."""
        return conversation(self.turns[: self.at])

    @property
    def response(self) -> str:
        """The agent's response."""
        return self.turns[self.at][1]


def conversation(turns: Turns) -> Conversation:
    """The turns as messages."""
    return tuple(assistant(text) if speaker == "agent" else user(text) for speaker, text in turns)


def examples(dialogues: Iterable[Dialogue]) -> Iterator[Example]:
    """One example for each turn of the agent, in order."""
    for dialogue in dialogues:
        for at, (speaker, _) in enumerate(dialogue.turns):
            if speaker == "agent":
                yield Example(dialogue.turns, at)


def in_split(dialogues: Sequence[Dialogue], split: str, seed: int = 0) -> list[Dialogue]:
    """The dialogues of one split, in order.

    Dialogues whose file names no split are assigned at random: 80 % train, 10 % validation, 10 % test.

    Raises:
        ValueError: the split is unknown, or it is empty; the message says how many dialogues the others hold.
    """
    if split not in SPLITS:
        raise ValueError(f"split must be one of {SPLITS}, got {split!r}")
    unnamed = list(dict.fromkeys(dialogue.id for dialogue in dialogues if dialogue.split is None))
    order = np.random.default_rng(seed).permutation(len(unnamed)).tolist()
    dealt = {
        unnamed[place]: SPLITS[(10 * i >= 8 * len(order)) + (10 * i >= 9 * len(order))] for i, place in enumerate(order)
    }
    names = [dialogue.split or dealt[dialogue.id] for dialogue in dialogues]
    found = [dialogue for dialogue, name in zip(dialogues, names, strict=True) if name == split]
    if not found:
        counts = {name: names.count(name) for name in SPLITS if name in names}
        raise ValueError(f"there is no dialogue in the split {split!r}; the corpus holds {counts}")
    return found


# What the readers share


def files_of(path: Path, *patterns: str) -> list[Path]:
    """The file ``path``, or all files below a folder ``path`` with one of these names, compressed or not, sorted.

    Raises:
        CorpusError: there is no such file.
    """
    if not path.is_dir():
        return [path]
    found = {file for pattern in patterns for end in _SUFFIXES for file in path.rglob(pattern + end) if file.is_file()}
    if not found:
        raise CorpusError(f"{path}: expected files named {' or '.join(patterns)} (.gz, .zip ...), found none")
    return sorted(found)


def split_named(file: Path) -> str | None:
    """The split that the name of a file (``val.json.zip``, ``train_01.json``) or of its folder (``dev/``) states."""
    stem = file.name.partition(".")[0].lower().replace("-", "_").split("_")
    named = (_SPLIT_NAMES.get(word) for word in (*stem, file.parent.name.lower()))
    return next((name for name in named if name), None)


def spoken(text: str, where: str) -> str:
    """A text with collapsed white space.

    Raises:
        CorpusError: it holds half a character (a lone surrogate), which cannot be written.
    """
    if not whole(text):
        raise CorpusError(f"{where}: the text {brief(text)} holds half a character; take it out")
    return " ".join(text.split())


def speaker_of(name: Any, speakers: dict[Any, str], where: str) -> str:
    """The speaker, "user" or "agent", from the name that a format uses.

    Raises:
        CorpusError: the name is another one.
    """
    if not isinstance(name, str | int) or isinstance(name, bool) or name not in speakers:
        raise CorpusError(f"{where}: expected one of {list(speakers)}, got {shown(name)}")
    return speakers[name]


def without_duplicates(dialogues: Iterable[Dialogue], path: Path) -> Iterator[Dialogue]:
    """The dialogues without empty ones.

    Raises:
        CorpusError: two dialogues of one split have the same id. Ids may repeat across splits, as in Schema-Guided
            Dialogue.
    """
    seen = set()
    for dialogue in dialogues:
        if (dialogue.split, dialogue.id) in seen:
            raise CorpusError(
                f"{path}: the dialogue {brief(dialogue.id)} is there twice; are two versions in one folder?"
            )
        seen.add((dialogue.split, dialogue.id))
        if dialogue.turns:
            yield dialogue
