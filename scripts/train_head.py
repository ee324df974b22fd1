"""Shared by the training scripts of the packaged text classifiers."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save
from scipy.stats import rankdata
from torch import nn

from lang_envs.chat_templates import MARKERS
from lang_envs.tokenizers import text_tokenizer

WEIGHTS = Path(__file__).parent.parent / "lang_envs" / "rewards" / "weights"
HIDDEN = 128


def fit_head(
    x: NDArray[np.float32],  # [n, D]
    y: NDArray[np.float32],  # [n] targets in [0, 1]
    weight: NDArray[np.float32],  # [n]
    epochs: int,
    seed: int = 0,
) -> dict[str, NDArray[np.float32]]:
    """Trains a perceptron with one hidden layer by weighted cross-entropy; its tensors by HeadClassifier's names."""
    torch.manual_seed(seed)
    first, last = nn.Linear(x.shape[1], HIDDEN), nn.Linear(HIDDEN, 1)
    model = nn.Sequential(first, nn.ReLU(), nn.Dropout(0.2), last)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-4)
    inputs, targets, weights = torch.tensor(x), torch.tensor(y), torch.tensor(weight)
    for _ in range(epochs):
        for rows in torch.randperm(len(inputs)).split(256):
            logits = model(inputs[rows])[:, 0]
            loss = nn.functional.binary_cross_entropy_with_logits(logits, targets[rows], weights[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    tensors = {"w1": first.weight.T, "b1": first.bias, "w2": last.weight[0], "b2": last.bias}
    return {name: tensor.detach().numpy().copy() for name, tensor in tensors.items()}


def save_head(name: str, head: dict[str, NDArray[np.float32]]) -> None:
    """Writes a packaged head: beside its place first, then into it."""
    WEIGHTS.mkdir(exist_ok=True)
    partial, path = WEIGHTS / f"{name}.partial", WEIGHTS / f"{name}.safetensors"
    partial.write_bytes(save(head))
    partial.replace(path)


def probabilities(head: dict[str, NDArray[np.float32]], x: NDArray[np.float32]) -> NDArray[np.float32]:
    """As HeadClassifier computes them, from embeddings [n, D]."""
    hidden = np.maximum(x @ head["w1"] + head["b1"], 0)
    return 1 / (1 + np.exp(-(hidden @ head["w2"] + head["b2"])))


def auc(positive: NDArray[np.bool_], score: NDArray[np.floating]) -> float:
    """The probability that a positive scores above a negative, ties counted half."""
    ranks, n = rankdata(score), positive.sum()
    return float((ranks[positive].sum() - n * (n + 1) / 2) / (n * (~positive).sum()))


def gibberish(n: int, rng: np.random.Generator) -> list[str]:
    """Text nobody can read: random letters in one half, random tokens of the packaged vocabulary in the other."""
    tokenizer = text_tokenizer()
    salads = [rng.integers(len(MARKERS), len(tokenizer), size=rng.integers(3, 33)) for _ in range(n // 2)]
    return tokenizer.batch_decode(salads) + [_letters(rng) for _ in range(n - n // 2)]


def _letters(rng: np.random.Generator) -> str:
    """Pieces of letters in any order, or one piece again and again."""
    letters = np.array(list("etaoinshrdlucmfwypvbgkjqxz"))
    marks = np.array(list("  .,;!?()[]<>|/-_'\"0123456789"))
    pieces = ["".join(rng.choice(letters, size=rng.integers(1, 7))) for _ in range(rng.integers(2, 33))]
    if rng.random() < 0.15:
        pieces = pieces[:1] * len(pieces)
    glue = [" " if rng.random() < 0.4 else str(rng.choice(marks)) if rng.random() < 0.3 else "" for _ in pieces]
    return "".join(a + b for a, b in zip(pieces, glue, strict=True)).strip()
