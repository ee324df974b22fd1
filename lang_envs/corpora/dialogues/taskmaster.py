"""Reads Taskmaster-3 and -4: dialogues about movie tickets and coffee, and people's verdicts on single replies.

Sources: Byrne et al. 2020 (TM-3, arXiv:2012.12458), Sidahmed et al. 2024 (TM-4 and the verdicts, arXiv:2403.10704),
github.com/google-research-datasets/Taskmaster.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lang_envs.corpora.dialogues.dialogue import (
    Dialogue,
    Turns,
    files_of,
    speaker_of,
    spoken,
    without_duplicates,
)
from lang_envs.corpora.files import CorpusError, parse
from lang_envs.corpora.json_stream import JsonStream
from lang_envs.corpora.records import field, shown

_SPEAKERS = {"user": "user", "assistant": "agent"}
_ROLES = {"user": "user", "agent": "agent", "api": "api"}


@dataclass(frozen=True)
class Verdict:
    """One reply in a dialogue, and whether a person approved of it."""

    dialogue: str
    context: Turns
    reply: str
    reward: float
    """1 if a person approved of the reply, otherwise 0"""
    is_api_call: bool


def read(path: str | os.PathLike[str]) -> Iterator[Dialogue]:
    """Reads dialogues: ``data*.json``, ``[{"conversation_id", "utterances": [{"speaker", "text"}, ...]}]``.

    Raises:
        CorpusError: a record has another form, or an id occurs twice; the message names file, record and field.
    """
    path = Path(path)
    files = files_of(path, "data*.json")
    return without_duplicates((_dialogue(*found) for file in files for found in _records(file)), path)


def read_verdicts(path: str | os.PathLike[str]) -> Iterator[Verdict]:
    """Reads verdicts: ``reward*.json``, ``[{"conversation_id", "context", "generation", "reward"}]``.

    Context and generation are texts that hold JSON. Requests to a program and its answers are left out of the context;
    only the turns of user and agent are kept. A generation is a reply of the agent or a request to a program, which is
    returned as JSON.

    Raises:
        CorpusError: a record has another form; the message names file, record and field.
    """
    for file in files_of(Path(path), "reward*.json"):
        for record, where in _records(file):
            yield _verdict(record, where)


def _records(file: Path) -> Iterator[tuple[Any, str]]:
    with JsonStream(file) as stream:
        for _ in stream.elements():
            yield stream.value(), stream.where
        stream.end()


def _dialogue(record: Any, where: str) -> Dialogue:
    turns = []
    for i, turn in enumerate(field(record, "utterances", list, where)):
        at = f"{where}, utterance {i}"
        speaker = speaker_of(field(turn, "speaker", str, at).lower(), _SPEAKERS, f"{at}, field 'speaker'")
        if text := spoken(field(turn, "text", str, at), f"{at}, field 'text'"):
            turns.append((speaker, text))
    return Dialogue(field(record, "conversation_id", str, where), tuple(turns))


def _verdict(record: Any, where: str) -> Verdict:
    context = []
    for i, turn in enumerate(_inner(record, "context", list, where)):
        at = f"{where}, field 'context', turn {i}"
        role = speaker_of(field(turn, "role", str, at), _ROLES, f"{at}, field 'role'")
        if role != "api" and "api" not in turn:
            context.append((role, spoken(field(turn, "text", str, at), at)))
    generation = _inner(record, "generation", dict, where)
    is_api_call = "api" in generation
    at = f"{where}, field 'generation'"
    reply = json.dumps(generation["api"]) if is_api_call else field(generation, "text", str, at)
    reward = field(record, "reward", float, where)
    if reward not in (0, 1):
        raise CorpusError(f"{where}, field 'reward': expected 0 or 1, got {reward:g}")
    name = field(record, "conversation_id", str, where)
    return Verdict(name, tuple(context), spoken(reply, at), reward, is_api_call)


def _inner(record: Any, key: str, kind: type[Any], where: str) -> Any:
    """A field whose text is itself JSON."""
    value = parse(field(record, key, str, where), f"{where}, field {key!r}")
    if not isinstance(value, kind):
        raise CorpusError(f"{where}, field {key!r}: expected JSON of a {kind.__name__}, got {shown(value)}")
    return value
