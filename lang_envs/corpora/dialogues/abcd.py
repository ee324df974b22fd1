"""ABCD, the Action-Based Conversations Dataset: customer service with written policies.

Source: Chen et al. 2021 (arXiv:2104.00783), github.com/asappresearch/abcd, ``abcd_v1.1.json.gz``.
"""

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
from lang_envs.corpora.files import CorpusError
from lang_envs.corpora.json_stream import JsonStream
from lang_envs.corpora.records import brief, field, name_of, shown

_SPLITS = {"train": SPLITS[0], "dev": SPLITS[1], "test": SPLITS[2]}
_SPEAKERS = {"customer": "user", "agent": "agent", "action": "action"}


def read(path: str | os.PathLike[str]) -> Iterator[Dialogue]:
    """Reads ``{"train" | "dev" | "test": [conversation, ...]}``, or the list of conversations of the official sample.

    A conversation is ``{"convo_id", "original": [[speaker, text], ...]}``. Rows of the speaker "action" are clicks of
    the agent, and are left out.

    In the official repository the sample is beside the whole corpus, and it is a part of it. If a folder holds both,
    only the whole corpus is read.

    Raises:
        CorpusError: a record has another form, or an id occurs twice; the message names file, record and field.
    """
    path = Path(path)
    files = files_of(path, "abcd*.json")
    whole = [file for file in files if file.name.startswith("abcd_v")]
    return without_duplicates((dialogue for file in whole or files for dialogue in _file(file)), path)


def _file(file: Path) -> Iterator[Dialogue]:
    with JsonStream(file) as stream:
        if stream.is_object():
            for key in stream.members():
                if key not in _SPLITS:
                    raise CorpusError(f"{stream.where}: expected one of {list(_SPLITS)}, got {brief(key)}")
                for _ in stream.elements():
                    yield _dialogue(stream.value(), stream.where, _SPLITS[key])
        else:
            for _ in stream.elements():
                yield _dialogue(stream.value(), stream.where, None)
        stream.end()


def _dialogue(record: Any, where: str, split: str | None) -> Dialogue:
    name = name_of(record, "convo_id", where)
    turns = []
    for i, row in enumerate(field(record, "original", list, where)):
        at = f"{where}, field 'original', row {i}"
        if not (isinstance(row, list) and len(row) == 2 and isinstance(row[1], str)):
            raise CorpusError(f"{at}: expected [speaker, text], got {shown(row)}")
        speaker = speaker_of(row[0], _SPEAKERS, at)
        text = spoken(row[1], at)
        if speaker != "action" and text:
            turns.append((speaker, text))
    return Dialogue(name, tuple(turns), split)
