"""Reads MultiWOZ and Schema-Guided Dialogue: the JSON file of 2.1, the JSON shards of 2.2, and the hub's columns.

Sources: Budzianowski et al. 2018 (arXiv:1810.00278), Eric et al. 2019 (2.1), Zang et al. 2020 (2.2,
github.com/budzianowski/multiwoz), Rastogi et al. 2019 (arXiv:1909.05855,
github.com/google-research-datasets/dstc8-schema-guided-dialogue).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lang_envs.corpora.arrow_files import parquet
from lang_envs.corpora.dialogues.dialogue import (
    Dialogue,
    files_of,
    speaker_of,
    split_named,
    spoken,
    without_duplicates,
)
from lang_envs.corpora.files import CorpusError, json_lines, lines
from lang_envs.corpora.json_stream import JsonStream
from lang_envs.corpora.records import field, shown

_PATTERNS = ("dialogues_*.json", "data.json", *(f"{s}.json" for s in ("train", "val", "dev", "test")), "*.jsonl")
_LISTS = {"valListFile": "validation", "testListFile": "test"}
_SPEAKERS = {"USER": "user", "SYSTEM": "agent", 0: "user", 1: "agent"}


def read(path: str | os.PathLike[str]) -> Iterator[Dialogue]:
    """Reads a file, or all files of a folder.

    The layout is recognised by the content; files may be compressed:

    * 2.1: ``{id: {"log": [{"text"}, ...]}}``, user and agent in turn. If ``valListFile`` and ``testListFile`` are
      beside ``data.json``, they name the dialogues of the validation and test splits.
    * 2.2 and Schema-Guided: shards ``dialogues_*.json`` in folders train, dev, test, each
      ``[{"dialogue_id", "turns": [{"speaker": "USER" | "SYSTEM", "utterance"}]}]``.
    * the hub's (JSON lines or Parquet): ``{"dialogue_id", "turns": {"speaker": [0, 1, ...], "utterance": [...]}}``.

    Raises:
        CorpusError: a record has another form, or an id occurs twice; the message names file, record and field.
    """
    return without_duplicates((dialogue_of(record, where, split) for where, record, split in records(path)), Path(path))


def records(path: str | os.PathLike[str]) -> Iterator[tuple[str, Any, str | None]]:
    """The records of the dialogues in a file or a folder: the place of each, its record, and its split if known.

    Raises:
        CorpusError: a file cannot be read.
    """
    for file in files_of(Path(path), *_PATTERNS, "*.parquet"):
        yield from _file(file)


def _file(file: Path) -> Iterator[tuple[str, Any, str | None]]:
    split, listed = split_named(file), _listed(file.parent) if file.name.startswith("data.json") else {}
    rows: Iterator[tuple[str, Any]]
    if file.suffix == ".parquet":
        rows = ((f"{file}, record {number}", record) for number, record in parquet(file, ["dialogue_id", "turns"]))
    elif ".jsonl" in file.suffixes:
        rows = ((f"{file}, line {number}", record) for number, record in json_lines(file))
    else:
        rows = _json(file)
    for where, record in rows:
        if listed:
            split = listed.get(field(record, "dialogue_id", str, where).removesuffix(".json"), "train")
        yield where, record, split


def _json(file: Path) -> Iterator[tuple[str, Any]]:
    with JsonStream(file) as stream:
        if stream.is_object():
            for key in stream.members():
                record = stream.value()
                yield stream.where, {"dialogue_id": key, **record} if isinstance(record, dict) else record
        else:
            for _ in stream.elements():
                yield stream.where, stream.value()
        stream.end()


def _listed(folder: Path) -> dict[str, str]:
    """The split of each dialogue that the official lists beside ``data.json`` name; empty if there are no lists.

    Raises:
        CorpusError: one of the two lists is missing; its dialogues would count as "train".
    """
    lists = {split: sorted(folder.glob(f"{stem}.*")) for stem, split in _LISTS.items()}
    if len(missing := [stem for stem, split in _LISTS.items() if not lists[split]]) == 1:
        raise CorpusError(
            f"{folder}: expected {' and '.join(_LISTS)} beside data.json or neither, but {missing[0]} is missing"
        )
    return {
        line.strip().removesuffix(".json"): split
        for split, files in lists.items()
        for file in files
        for _, line in lines(file)
    }


def dialogue_of(record: Any, where: str, split: str | None) -> Dialogue:
    """The dialogue of a record of :func:`records`.

    Raises:
        CorpusError: a field does not follow the layout; the message names it.
    """
    name = field(record, "dialogue_id", str, where)
    said: list[tuple[object, object]]
    if "log" in record:
        log = field(record, "log", list, where)
        said = [(i % 2, field(turn, "text", str, f"{where}, log {i}")) for i, turn in enumerate(log)]
    elif isinstance(record.get("turns"), dict):
        columns = [field(record["turns"], key, list, f"{where}, turns") for key in ("speaker", "utterance")]
        if len(columns[0]) != len(columns[1]):
            raise CorpusError(
                f"{where}, turns: {len(columns[0])} of 'speaker', but {len(columns[1])} of 'utterance'; "
                "they must be as many"
            )
        said = list(zip(*columns, strict=True))
    else:
        turns = field(record, "turns", list, where)
        said = [
            (field(turn, "speaker", object, at), field(turn, "utterance", str, at))
            for turn, at in ((turn, f"{where}, turn {i}") for i, turn in enumerate(turns))
        ]
    turns = []
    for i, (speaker, text) in enumerate(said):
        at = f"{where}, turn {i}"
        who = speaker_of(speaker, _SPEAKERS, f"{at}, field 'speaker'")
        if not isinstance(text, str):
            raise CorpusError(f"{at}, field 'utterance': expected a text, got {shown(text)}")
        if words := spoken(text, at):
            turns.append((who, words))
    return Dialogue(name, tuple(turns), split)
