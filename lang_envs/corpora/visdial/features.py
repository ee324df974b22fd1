"""Features of images, [n, d] in the order of the dialogues: from a file, from detected objects, or from the texts."""

from __future__ import annotations

import os
import tokenize
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lang_envs.corpora.files import CorpusError
from lang_envs.corpora.records import brief
from lang_envs.corpora.visdial.visdial import ImageDialogue
from lang_envs.corpora.visdial.vispro import COCO_IDS

Features = NDArray[np.float32]
_NO_ARRAY = (
    *(ValueError, OSError, EOFError, TypeError, KeyError, OverflowError),
    *(SyntaxError, tokenize.TokenError, zipfile.BadZipFile),
)
"""The errors that numpy may raise for a file of another form; it parses the header as Python."""


def from_file(path: str | os.PathLike[str], dialogues: Sequence[ImageDialogue]) -> Features:
    """Features from a file.

    ``.npy`` holds one array [n, d], with row i for dialogue i. ``.safetensors`` holds a tensor ``features`` [m, d]. If
    it also holds a tensor ``image_id`` [m], rows are found by the dialogues' image ids and may be in any order.

    Raises:
        CorpusError: the file is neither of these, or has no row for a dialogue.
    """
    path = Path(path)
    if not path.is_file():
        raise CorpusError(f"there is no file {str(path)!r}")
    if path.suffix == ".npy":
        values, ids = _npy(path), None
    elif path.suffix == ".safetensors":
        values, ids = _safetensors(path)
    else:
        raise CorpusError(f"{path}: expected .npy or .safetensors, got {path.suffix or 'no ending'!r}")
    if values.ndim != 2 or values.dtype.kind not in "fiu" or not np.isfinite(values).all():
        raise CorpusError(f"{path}: expected finite numbers [images, features], got {values.dtype} {values.shape}")
    if ids is not None and ids.shape != values.shape[:1]:
        raise CorpusError(f"{path}, tensor 'image_id': expected one a row, {values.shape[:1]}, got {ids.shape}")
    if ids is not None:
        row = {str(image): place for place, image in enumerate(ids.tolist())}
        missing = [dialogue.image for dialogue in dialogues if dialogue.image not in row]
        if missing:
            raise CorpusError(f"{path}, tensor 'image_id': no row for {len(missing)} images, {missing[0]!r} among them")
        values = values[[row[dialogue.image] for dialogue in dialogues]]
    elif len(values) != len(dialogues):
        raise CorpusError(f"{path}: expected a row for each of {len(dialogues)} dialogues, got {len(values)} rows")
    with np.errstate(over="ignore"):
        features = values.astype(np.float32)
    if not np.isfinite(features).all():
        raise CorpusError(f"{path}: expected numbers that 32 bits hold, got one of {np.abs(values).max():g}")
    return features


def from_objects(dialogues: Sequence[ImageDialogue]) -> Features:
    """Whether each of the 80 COCO categories is in each image, [n, 80] of 0 and 1."""
    features = np.zeros((len(dialogues), len(COCO_IDS)), np.float32)
    for row, dialogue in enumerate(dialogues):
        features[row, list(dialogue.objects or ())] = 1
    return features


def from_dialogues(
    dialogues: Sequence[ImageDialogue], embed: Callable[[Sequence[str]], NDArray[np.float32]]
) -> Features:
    """The mean embedding of the caption and the rounds of each image, [n, D], as features of the image."""
    texts = [[d.caption, *(f"{q} {a}" for q, a in d.rounds)] for d in dialogues]
    vectors = embed([text for own in texts for text in own])
    ends = np.cumsum([len(own) for own in texts])[:-1]
    return np.stack([part.mean(axis=0) for part in np.split(vectors, ends)])


def _npy(path: Path) -> NDArray[np.generic]:
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False)  # mapped, so that a wrong shape takes no memory
    except _NO_ARRAY as error:
        raise CorpusError(f"{path}: expected an array of numbers as numpy.save writes it ({error})") from error
    if not isinstance(values, np.ndarray):
        raise CorpusError(f"{path}: expected one array as numpy.save writes it, got several")
    return values


def _safetensors(path: Path) -> tuple[NDArray[np.generic], NDArray[np.generic] | None]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        tensors = load_file(path)
    except (SafetensorError, KeyError, TypeError, ValueError) as error:  # of types that numpy does not have
        raise CorpusError(f"{path}: expected a safetensors file ({error}); was the download cut short?") from error
    if "features" not in tensors:
        raise CorpusError(f"{path}: expected a tensor 'features', it has {brief(sorted(tensors))}")
    return tensors["features"], tensors.get("image_id")
