"""Measures the mean BERTScore of random pairs of texts, for ``lang_envs/rewards/bertscore_baselines.py``.

    python scripts/measure_bertscore_baseline.py [--pairs 20000] [--encoder PATH]

Pairs of different agent turns are drawn from the built-in dialogues (seed 0). Prints a line for each layer in
``bert_score``'s layout: LAYER,P,R,F.
"""

import argparse
import sys

import numpy as np

from lang_envs.corpora.dialogues import service
from lang_envs.corpora.dialogues.dialogue import examples
from lang_envs.rewards.bertscore import similarity
from lang_envs.rewards.encoder import Encoder


def baseline(encoder: Encoder, texts: list[str], pairs: int, rng: np.random.Generator) -> np.ndarray:
    """The mean precision, recall and F1 [3] of pairs of different texts."""
    first = rng.integers(len(texts), size=pairs)
    second = (first + rng.integers(1, len(texts), size=pairs)) % len(texts)
    tokens = encoder.tokens(texts)
    return np.mean([similarity(tokens[i], tokens[j]) for i, j in zip(first, second, strict=True)], axis=0)


def main() -> None:
    """Prints the baseline of every layer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=20_000)
    parser.add_argument("--texts", type=int, default=2_000)
    parser.add_argument("--encoder", default=None)
    options = parser.parse_args()
    said = dict.fromkeys(example.response for example in examples(service.read()))
    rng = np.random.default_rng(0)
    texts = [str(text) for text in rng.choice(list(said), size=min(options.texts, len(said)), replace=False)]
    sys.stdout.write("LAYER,P,R,F\n")
    for layer in range(1, Encoder(options.encoder).num_layers + 1):
        numbers = baseline(Encoder(options.encoder, layer), texts, options.pairs, np.random.default_rng(1))
        sys.stdout.write(",".join([str(layer), *(f"{number:.4f}" for number in numbers)]) + "\n")


if __name__ == "__main__":
    main()
