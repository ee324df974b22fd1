"""Reads VisPro: VisDial dialogues as lists of words, with the COCO objects that a detector found in each image.

Yu et al. (2019), "What You See is What You Get: Visual Pronoun Coreference Resolution in Dialogues". Each line is one
JSON object: ``sentences`` are lists of words (the caption, then question and answer in turn), ``image_file`` names the
image, and ``object_detection`` lists categories by their COCO ids. Other fields are not read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lang_envs.corpora.dialogues.dialogue import spoken
from lang_envs.corpora.files import CorpusError, json_lines
from lang_envs.corpora.records import field, shown
from lang_envs.corpora.visdial.visdial import ImageDialogue, distinct

COCO_IDS = tuple(i for i in range(1, 91) if i not in (12, 26, 29, 30, 45, 66, 68, 69, 71, 83))
"""The ids of COCO's 80 categories; ten ids are missing, because their categories were never annotated."""
_CATEGORY = {coco: category for category, coco in enumerate(COCO_IDS)}

_NO_BLANK_BEFORE = re.compile(r" (n't|'\w+|[.,?!:;)%])(?!\w)")


def read_vispro(path: str | os.PathLike[str]) -> list[ImageDialogue]:
    """The dialogues of a file of JSON lines, compressed or not; a last question without an answer is left out.

    Texts are as in VisDial: in lower case, answers and captions without a full stop.

    Raises:
        CorpusError: a field has another form; the message names the file, the line and the field.
    """
    path = Path(path)
    return distinct(_dialogues(path), path)


def joined(words: Sequence[str]) -> str:
    """The words of a sentence as one text: "ca n't" becomes "can't", and there is no blank before a comma."""
    return _NO_BLANK_BEFORE.sub(r"\1", " ".join(words))


def _dialogues(path: Path) -> Iterator[ImageDialogue]:
    for number, record in json_lines(path):
        where = f"{path}, line {number}"
        sentences = field(record, "sentences", list, where)
        if any(not isinstance(s, list) or any(not isinstance(word, str) for word in s) for s in sentences):
            raise CorpusError(f"{where}, field 'sentences': expected lists of words, got {shown(sentences)}")
        caption, *said = (spoken(joined(words).lower(), where) for words in sentences or [[]])
        rounds = tuple((q, a.removesuffix(".").strip()) for q, a in zip(said[::2], said[1::2], strict=False))
        caption = caption.removesuffix(".").strip()
        if not (caption and rounds):
            raise CorpusError(f"{where}, field 'sentences': expected a caption, a question and an answer at least")
        objects = field(record, "object_detection", list, where)
        yield ImageDialogue(field(record, "image_file", str, where), caption, rounds, _categories(objects, where))


def _categories(objects: list[Any], where: str) -> tuple[int, ...]:
    unknown = [coco for coco in objects if type(coco) is not int or coco not in _CATEGORY]
    if unknown:
        raise CorpusError(
            f"{where}, field 'object_detection': expected ids of COCO categories, got {shown(unknown[0])}"
        )
    return tuple(_CATEGORY[coco] for coco in objects)
