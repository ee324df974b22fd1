"""Reads dialogues of the user's own, as JSON lines."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lang_envs.corpora.dialogues.dialogue import (
    SPLITS,
    Dialogue,
    files_of,
    speaker_of,
    spoken,
    without_duplicates,
)
from lang_envs.corpora.files import CorpusError, json_lines
from lang_envs.corpora.records import field, name_of, shown

_SPEAKERS = {"user": "user", "agent": "agent"}


def read(path: str | os.PathLike[str]) -> Iterator[Dialogue]:
    """Reads lines of ``{"id", "turns": [{"speaker": "user" | "agent", "text"}, ...]}``, with or without "split".

    Raises:
        CorpusError: a line has another form, or an id occurs twice; the message names file, line and field.
    """
    path = Path(path)
    found = (
        _dialogue(record, f"{file}, line {number}")
        for file in files_of(path, "*.jsonl")
        for number, record in json_lines(file)
    )
    return without_duplicates(found, path)


def _dialogue(record: Any, where: str) -> Dialogue:
    name = name_of(record, "id", where)
    turns = []
    for i, turn in enumerate(field(record, "turns", list, where)):
        at = f"{where}, turn {i}"
        speaker = speaker_of(field(turn, "speaker", object, at), _SPEAKERS, f"{at}, field 'speaker'")
        if text := spoken(field(turn, "text", str, at), f"{at}, field 'text'"):
            turns.append((speaker, text))
    split = record.get("split")
    if split is not None and split not in SPLITS:
        raise CorpusError(f"{where}, field 'split': expected one of {SPLITS} or nothing, got {shown(split)}")
    return Dialogue(name, tuple(turns), split)
