"""VisdialWorld: an answerer and a guesser over human dialogues, which replace the trained models of Das et al. (2017).

* Their answerer is a network that sees the image and writes an answer. The answerer here returns the answer that a
  person gave to the nearest question, by meaning, about this image. If no question is near enough, it says "can't
  tell".
* Their guesser is a network that reads the dialogue and predicts the image's VGG features. The guesser here is a ridge
  regression from sentence embeddings (that of the caption, and the sum over the rounds) to the image's features. It is
  fitted on half of the images; the others are played. The percentile is defined as in the paper: by the rank of the
  true image among all played images, by squared distance to the prediction.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lang_envs.corpora.dialogues.dialogue import files_of
from lang_envs.corpora.files import CorpusError, data_folder
from lang_envs.corpora.visdial.features import from_dialogues, from_file, from_objects
from lang_envs.corpora.visdial.visdial import ImageDialogue, read_visdial
from lang_envs.corpora.visdial.vispro import read_vispro

Embed = Callable[[Sequence[str]], NDArray[np.float32]]
"""Texts to unit vectors [n, D]."""
CANNOT_TELL = "can't tell"
RIDGE = 10.0
"""The penalty on the regression's squared weights, for unit vectors."""
_LESSONS = 1024  # number of dialogues whose inputs are in memory at once


class View(NamedTuple):
    """What the guesser has heard: the embedding of the caption, and the sum of the embeddings of all rounds."""

    caption: NDArray[np.float32]  # [D]
    rounds: NDArray[np.float32]  # [D] the sum


class VisdialWorld:
    """A world of images that people talked about; the module describes it.

    Args:
        dialogues: n dialogues, at least four.
        features: [n, d] the features of their images.
        embed: the sentence encoder.
        threshold: the smallest cosine from which two questions count as the same.
        seed: seed of the half of the images on which the guesser is fitted.

    Raises:
        ValueError: there are fewer than 4 dialogues, another number of features, or the threshold is outside [-1, 1].

    Attributes:
        dialogues: the dialogues that are played.
        captions: the captions of their images.
        questions: all questions that people asked about them, without duplicates.
    """

    def __init__(
        self,
        dialogues: Sequence[ImageDialogue],
        features: NDArray[np.float32],
        embed: Embed,
        threshold: float = 0.6,
        seed: int = 0,
    ) -> None:
        if len(dialogues) < 4:
            raise ValueError(f"expected at least 4 dialogues, two to learn from and two to play, got {len(dialogues)}")
        if len(features) != len(dialogues):
            raise ValueError(f"expected features of {len(dialogues)} images, one a dialogue, got {len(features)}")
        if not -1 <= threshold <= 1:
            raise ValueError(f"threshold is a cosine from -1 to 1, got {threshold}")
        self.embed, self.threshold = embed, threshold
        length = np.linalg.norm(features, axis=1, keepdims=True)
        unit = np.divide(features, length, out=np.zeros_like(features), where=length > 0)  # [n, d]
        order = np.random.default_rng(seed).permutation(len(dialogues))
        lessons, played = np.sort(order[: len(order) // 2]), np.sort(order[len(order) // 2 :])
        self.dialogues = [dialogues[i] for i in played.tolist()]
        self.captions = tuple(dialogue.caption for dialogue in self.dialogues)
        self.questions = tuple(dict.fromkeys(q for dialogue in self.dialogues for q, _ in dialogue.rounds))
        # Images with the same features share a row, so that rounding, which depends on the column, treats them alike.
        distinct, place, self._copies = np.unique(unit[played], axis=0, return_inverse=True, return_counts=True)
        self._distinct, self._place = distinct.astype(np.float64), place.ravel()  # [U, d], [N]
        self._weights = _fit([dialogues[i] for i in lessons.tolist()], unit[lessons], embed)  # [2 D + 1, d]

    @classmethod
    def read(
        cls,
        source: str | os.PathLike[str],
        features: str | os.PathLike[str] | None = None,
        threshold: float = 0.6,
        seed: int = 0,
    ) -> VisdialWorld:
        """The world of a file.

        Args:
            source: "visdial" (the validation split, if it is there) or "vispro" in the folder ``LANG_ENVS_DATA``, or
                the path of a file in one of their layouts (``.json``, ``.parquet``; ``.jsonlines`` or ``.jsonl`` for
                VisPro).
            features: a file with features of the images (:func:`lang_envs.corpora.visdial.features.from_file`); by
                default the objects in the image if the file has them, otherwise the texts about it.
            threshold: as above.
            seed: as above.

        Raises:
            CorpusError: a file does not follow its format.
        """
        from lang_envs.rewards.encoder import Encoder

        path = _located(source)
        is_vispro = any(suffix in (".jsonlines", ".jsonl") for suffix in path.suffixes)
        dialogues = read_vispro(path) if is_vispro else read_visdial(path)
        embed = Encoder().embed
        if features is not None:
            values = from_file(features, dialogues)
        else:
            values = from_objects(dialogues) if is_vispro else from_dialogues(dialogues, embed)
        return cls(dialogues, values, embed, threshold, seed)

    def begin(self, contexts: Sequence[int]) -> tuple[list[View], NDArray[np.float64]]:
        """The guesser's view of each of n dialogues after the caption, and its percentiles [n]."""
        captions = self.embed([self.captions[context] for context in contexts])  # [n, D]
        views = [View(caption, np.zeros_like(caption)) for caption in captions]
        return views, self._percentiles(contexts, views)

    def ask(
        self, contexts: Sequence[int], views: Sequence[View], questions: Sequence[str]
    ) -> tuple[list[str], list[View], NDArray[np.float64]]:
        """The answers to one question about each image; the guesser's new views, and its percentiles [n]."""
        answers = self._answers(contexts, questions)
        heard = self.embed([f"{q} {a}" for q, a in zip(questions, answers, strict=True)])  # [n, D]
        after = [View(v.caption, v.rounds + said) for v, said in zip(views, heard, strict=True)]
        return answers, after, self._percentiles(contexts, after)

    def _answers(self, contexts: Sequence[int], questions: Sequence[str]) -> list[str]:
        known = [[q for q, _ in self.dialogues[context].rounds] for context in contexts]
        asked = self.embed(questions)  # [n, D]
        stored = self.embed([q for own in known for q in own])  # [sum of rounds, D]
        answers, first = [], 0
        for context, own, vector in zip(contexts, known, asked, strict=True):
            near = stored[first : first + len(own)] @ vector  # [rounds]
            first += len(own)
            best = int(near.argmax())
            answers.append(self.dialogues[context].rounds[best][1] if near[best] >= self.threshold else CANNOT_TELL)
        return answers

    def _percentiles(self, contexts: Sequence[int], views: Sequence[View]) -> NDArray[np.float64]:
        place = self._place[np.asarray(contexts)]  # [n]
        predicted = np.stack([_inputs(view) for view in views]) @ self._weights  # [n, d]
        # squared distances without a term that is the same for all images
        distance = (self._distinct**2).sum(axis=1) - 2 * predicted @ self._distinct.T  # [n, U]
        before = (distance < distance[np.arange(len(place)), place][:, None]) @ self._copies  # [n]
        ties = self._copies[place] - 1  # other images with the same features; half of them are ranked first
        return 1 - (1 + before + ties / 2) / len(self._place)


def _located(source: str | os.PathLike[str]) -> Path:
    if source == "vispro":
        return files_of(data_folder("visual_dialogue"), "*.vispro.*jsonlines")[0]
    if source == "visdial":
        folder = data_folder("visual_dialogue")
        found = [
            file for file in files_of(folder, "visdial_*.json") if "dense" not in file.name
        ]  # these files hold judgements and no dialogues
        if not found:
            raise CorpusError(f"{folder}: expected a file of dialogues such as visdial_1.0_val.json, found none")
        return min(found, key=lambda file: ("val" not in file.name, file.name))
    return Path(source)


def _inputs(view: View) -> NDArray[np.float32]:
    """The input of the regression, [2 D + 1]."""
    return np.concatenate([view.caption, view.rounds, np.ones(1, np.float32)])


def _fit(dialogues: Sequence[ImageDialogue], features: NDArray[Any], embed: Embed) -> NDArray[Any]:
    """The regression's weights [2 D + 1, d], fitted on each dialogue after each of its rounds."""
    gram, cross = np.zeros(()), np.zeros(())  # they grow to [2 D + 1, 2 D + 1] and [2 D + 1, d]
    for start in range(0, len(dialogues), _LESSONS):
        some = slice(start, start + _LESSONS)
        x, y = _lessons(dialogues[some], features[some], embed)
        gram, cross = gram + x.T @ x, cross + x.T @ y
    return np.linalg.solve(gram + RIDGE * np.eye(len(gram)), cross)


def _lessons(
    dialogues: Sequence[ImageDialogue], features: NDArray[Any], embed: Embed
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The inputs of the regression [m, 2 D + 1], and its targets [m, d]."""
    captions = embed([dialogue.caption for dialogue in dialogues])  # [n, D]
    texts = [f"{q} {a}" for dialogue in dialogues for q, a in dialogue.rounds]
    heard = iter(embed(texts))
    inputs, targets = [], []
    for dialogue, caption, target in zip(dialogues, captions, features, strict=True):
        view = View(caption, np.zeros_like(caption))
        inputs.append(_inputs(view))
        for _ in dialogue.rounds:
            view = View(caption, view.rounds + next(heard))
            inputs.append(_inputs(view))
        targets += [target] * (1 + len(dialogue.rounds))
    return np.array(inputs, np.float64), np.array(targets, np.float64)
