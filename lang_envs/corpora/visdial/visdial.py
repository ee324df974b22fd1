"""Reads VisDial: human dialogues about images, in the official JSON of v0.9 and v1.0 and in the hub's Parquet layout.

Das et al. (2017), "Visual Dialog". The official file holds two pools of texts and dialogues that point into them::

    {"version": "1.0", "split": "val2018", "data": {"questions": ["is it sunny", ...], "answers": ["yes", ...],
     "dialogs": [{"image_id": 97915, "caption": "a woman ...", "dialog": [{"question": 12, "answer": 7, ...}, ...]}]}}

In the test split the last round has no answer. Such a round is left out; a dialogue without another round is left out
too. The hub's copies have the columns ``caption``, ``dialog`` (a list of question and answer pairs) and ``image_path``.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lang_envs.corpora.arrow_files import parquet
from lang_envs.corpora.dialogues.dialogue import spoken
from lang_envs.corpora.files import CorpusError
from lang_envs.corpora.json_stream import JsonStream
from lang_envs.corpora.records import brief, field, shown


@dataclass(frozen=True)
class ImageDialogue:
    """The dialogue about one image."""

    image: str
    """the image's id, or the name of its file"""
    caption: str
    rounds: tuple[tuple[str, str], ...]
    """pairs of question and answer, at least one"""
    objects: tuple[int, ...] | None = None
    """the COCO categories (0 to 79) that were found in the image; None if the file does not say"""


def read_visdial(path: str | os.PathLike[str]) -> list[ImageDialogue]:
    """The dialogues of a file, ``.parquet`` or JSON, compressed or not.

    Raises:
        CorpusError: a field has another form, or an image has two dialogues; the message names the file, the dialogue
            and the field.
    """
    path = Path(path)
    return distinct(_parquet(path) if path.suffix == ".parquet" else _official(path), path)


def distinct(dialogues: Iterable[ImageDialogue], path: Path) -> list[ImageDialogue]:
    """The dialogues as a list, after checking that no two are about one image.

    Raises:
        CorpusError: there is no dialogue, or two are about one image.
    """
    found: dict[str, ImageDialogue] = {}
    for dialogue in dialogues:
        if dialogue.image in found:
            raise CorpusError(f"{path}: the image {brief(dialogue.image)} is there twice; are two files in one?")
        found[dialogue.image] = dialogue
    if not found:
        raise CorpusError(f"{path}: expected dialogues about images, found none")
    return list(found.values())


def _official(path: Path) -> Iterator[ImageDialogue]:
    data = field(_without_options(path), "data", dict, str(path))
    pools = {name: field(data, f"{name}s", list, f"{path}, field 'data'") for name in ("question", "answer")}
    dialogues = (
        _dialogue(record, pools, f"{path}, dialogue {number}")
        for number, record in enumerate(field(data, "dialogs", list, f"{path}, field 'data'"))
    )
    return (dialogue for dialogue in dialogues if dialogue is not None)


def _without_options(path: Path) -> dict[str, Any]:
    """The file without the hundred candidate answers of each round, which take a gigabyte in the training split."""
    with JsonStream(path) as stream:
        if not stream.is_object():
            raise CorpusError(f"{path}: expected an object with the field 'data', got another value")
        whole = {key: _data(stream) if key == "data" else stream.value() for key in stream.members()}
        stream.end()
    return whole


def _data(stream: JsonStream) -> Any:
    """The pools, and the dialogues, which are read one by one."""
    return {
        name: [_slim(stream.value()) for _ in stream.elements()] if name == "dialogs" else stream.value()
        for name in stream.members()
    }


def _slim(record: Any) -> Any:
    """A dialogue without its candidate answers."""
    if isinstance(record, dict) and isinstance(record.get("dialog"), list):
        for turn in record["dialog"]:
            if isinstance(turn, dict):
                turn.pop("answer_options", None)
    return record


def _dialogue(record: Any, pools: dict[str, list[Any]], where: str) -> ImageDialogue | None:
    rounds = field(record, "dialog", list, where)
    image, caption = field(record, "image_id", int, where), field(record, "caption", str, where)
    if rounds and isinstance(rounds[-1], dict) and "answer" not in rounds[-1]:
        rounds = rounds[:-1]  # in the test split the last answer is to be predicted
        if not rounds:
            return None
    pairs = []
    for number, turn in enumerate(rounds):
        at = f"{where}, round {number}"
        question, answer = (_text(pool, field(turn, name, int, at), f"{at}, {name}") for name, pool in pools.items())
        pairs.append((question, answer))
    return _checked(str(image), caption, pairs, where)


def _text(pool: list[Any], place: int, where: str) -> str:
    if not 0 <= place < len(pool):
        raise CorpusError(f"{where}: {place} is out of range, the pool has {len(pool)} texts; is the file whole?")
    if not isinstance(pool[place], str):
        raise CorpusError(f"{where}: expected a text at {place} of the pool, got {shown(pool[place])}")
    return pool[place]


def _parquet(path: Path) -> Iterator[ImageDialogue]:
    for number, row in parquet(path, ["caption", "dialog", "image_path"]):
        where = f"{path}, row {number}"
        rounds = field(row, "dialog", list, where)
        if any(not isinstance(pair, list) or len(pair) != 2 for pair in rounds):
            raise CorpusError(f"{where}, field 'dialog': expected pairs of question and answer, got {shown(rounds)}")
        image, caption = field(row, "image_path", str, where), field(row, "caption", str, where)
        yield _checked(image, caption, rounds, where)


def _checked(image: str, caption: str, rounds: Iterable[Iterable[Any]], where: str) -> ImageDialogue:
    pairs = []
    for number, (question, answer) in enumerate(rounds):
        if not isinstance(question, str) or not isinstance(answer, str):
            raise CorpusError(f"{where}, round {number}: expected two texts, got {shown(question)} and {shown(answer)}")
        pairs.append((spoken(question, where), spoken(answer, where)))
    if not pairs:
        raise CorpusError(f"{where}, field 'dialog': expected at least one question with its answer, got none")
    if not caption.strip():
        raise CorpusError(f"{where}, field 'caption': expected a text, got {shown(caption)}")
    return ImageDialogue(image, spoken(caption, where), tuple(pairs))
