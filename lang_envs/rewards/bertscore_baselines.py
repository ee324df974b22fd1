"""The baselines of BERTScore: the scores of random pairs of texts, which rescaling maps to 0."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence

from lang_envs.corpora.csv_files import lists
from lang_envs.corpora.files import lines
from lang_envs.corpora.records import brief
from lang_envs.rewards.encoder import MINILM, Encoder

Baseline = tuple[float, float, float]
"""precision, recall, F1"""

PUBLISHED_LAYERS = {
    "bert-base-uncased": 9,
    "distilbert-base-uncased": 5,
    "microsoft/deberta-xlarge-mnli": 40,
    "roberta-base": 10,
    "roberta-large": 17,
}
"""The layer that agrees best with people, according to the authors of ``bert_score``, by model."""

BASELINES: dict[tuple[str, int], Baseline] = {
    (MINILM, 1): (0.4496, 0.4490, 0.4467),
    (MINILM, 2): (0.4483, 0.4479, 0.4461),
    (MINILM, 3): (0.4498, 0.4495, 0.4479),
    (MINILM, 4): (0.4559, 0.4557, 0.4545),
    (MINILM, 5): (0.4934, 0.4932, 0.4922),
    (MINILM, 6): (0.2664, 0.2660, 0.2647),
    ("roberta-large", 17): (0.83150584, 0.8314941, 0.83122575),
}
"""By model and layer. MiniLM: means over 20,000 random pairs of agent turns of the built-in dialogues, measured by
``scripts/measure_bertscore_baseline.py`` (pairs of MultiWOZ 2.1 come near: F1 0.252 at layer 6). RoBERTa: as
``bert_score`` ships it, over pairs of English web text."""


def baseline_of(encoder: Encoder, rescale: bool | Baseline | str | os.PathLike[str]) -> Baseline:
    """The baseline for rescaling an encoder's scores.

    Args:
        encoder: the encoder.
        rescale: True for the baseline known for this encoder and layer; three numbers, or a file of them; False for
            zeros, which change nothing.

    Raises:
        ValueError: no baseline is known, or the numbers are not a baseline.
    """
    if rescale is False:
        return 0.0, 0.0, 0.0
    if isinstance(rescale, (str, os.PathLike)):
        return read_baseline(rescale, encoder.num_layers)
    if rescale is True:
        return _known(encoder)
    return _three(rescale, "rescale")


def read_baseline(path: str | os.PathLike[str], layer: int) -> Baseline:
    """One layer's row of a file in ``bert_score``'s layout: a header LAYER,P,R,F and a line for each layer.

    Raises:
        ValueError: the file is not such a table, or has no row for the layer.
    """
    found = lists((line for _, line in lines(path)), str(path))
    _, header = next(found, (1, []))
    if header != ["LAYER", "P", "R", "F"]:
        raise ValueError(f"{path}: expected the header LAYER,P,R,F of a baseline file, got {brief(','.join(header))}")
    for number, row in found:
        if row[:1] == [str(layer)]:
            return _three(row[1:], f"{path}, row {number}")
    raise ValueError(f"{path}: holds no row for layer {layer}")


def _three(values: Sequence[str | float], where: str) -> Baseline:
    try:
        precision, recall, f1 = map(float, values)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: expected three numbers (precision, recall, F1), got {brief(values)}") from error
    if not all(math.isfinite(value) and value < 1 for value in (precision, recall, f1)):
        raise ValueError(f"{where}: a baseline must be below 1, the score of the same text, got {brief(values)}")
    return precision, recall, f1


def _known(encoder: Encoder) -> Baseline:
    try:
        return BASELINES[encoder.name, encoder.num_layers]
    except KeyError:
        raise ValueError(
            f"no baseline is known for layer {encoder.num_layers} of {encoder.name}; pass rescale=False for raw "
            "scores, three numbers, or a file with the header LAYER,P,R,F, such as those in bert_score's "
            "rescale_baseline folder"
        ) from None
