"""Trains the packaged toxicity classifier, ``lang_envs/rewards/weights/toxicity.safetensors``.

    python scripts/train_toxicity.py --data "$LANG_ENVS_DATA"      # about 5 minutes on one core

The embeddings of all-MiniLM-L6-v2 are frozen. Only a head of 49,409 numbers is trained, on people's labels:
GoEmotions (anger, annoyance or disgust: 1), toxicity_cat (toxic: 1), the tones of the built-in comments, and gibberish
(1, so that agents are not rewarded for unreadable text). Prints the AUC on texts held out from training: GoEmotions'
dev split, one fifth of toxicity_cat's comments, and built-in comments on posts not seen in training.
"""

import argparse
import re
from pathlib import Path
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from train_head import auc, fit_head, gibberish, probabilities, save_head

from lang_envs.corpora.reddit.comment import Comment
from lang_envs.corpora.reddit.generated import TONES, generate
from lang_envs.corpora.reddit.read import read_comments
from lang_envs.rewards.text_classifier import minilm
from lang_envs.rewards.toxicity import SENSITIVE_FROM, UNSAFE_FROM

UNKIND = {"anger", "annoyance", "disgust"}
TONE_TARGETS = {"kind": 0.0, "neutral": 0.0, "rude": 0.6, "toxic": 1.0}
POSITIVE_WEIGHT = 4.0
"""Unkind comments are one in ten of GoEmotions; with this weight the label 1 begins near where half of them are."""
KEYWORDS = re.compile(
    r"\b(idiots?|stupid|dumb\w*|moron\w*|shut up|fuck\w*|shit\w*|bitch\w*|ass|asshole\w*|bastard\w*|crap|damn|hell|"
    r"suck\w*|hate|loser|pathetic|disgust\w*|trash|garbage|dick\w*|piss\w*|ugly|kill|die|clown|scum|jerk|worthless|"
    r"gross|awful|terrible|horrible)\b",
    re.IGNORECASE,
)
"""The list of words to beat."""


def held_out(text: str) -> bool:
    return crc32(text.encode()) % 5 == 0


def targets(rows: list[Comment], source: str) -> NDArray[np.float32]:
    match source:
        case "emotions":
            return np.array([float(bool(UNKIND & set(row.label.split(",")))) for row in rows], np.float32)
        case "replies":
            return np.array([float(row.label) for row in rows], np.float32)
    return np.array([TONE_TARGETS[row.label] for row in rows], np.float32)


def report(name: str, rows: list[Comment], positive: NDArray[np.bool_], p: NDArray[np.float32]) -> None:
    words = np.array([len(KEYWORDS.findall(row.text)) for row in rows], float)
    labels = np.digitize(p, [SENSITIVE_FROM, UNSAFE_FROM])
    shares = ["/".join(f"{np.mean(labels[which] == i):.2f}" for i in range(3)) for which in (~positive, positive)]
    print(
        f"{name}: {len(rows)} texts, {positive.sum()} positive, AUC {auc(positive, p):.3f}, "
        f"of the list of words {auc(positive, words):.3f}; labels 0/1/2 of negatives {shares[0]}, positives {shares[1]}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder with reddit/goemotions and toxicity_cat")
    parser.add_argument("--epochs", type=int, default=8)
    args = parser.parse_args()
    emotions, replies = args.data / "reddit/goemotions", args.data / "reddit/toxicity_cat"
    labelled = list(read_comments(replies / "gn.csv.gz").rows)
    built_in = list(generate(threads=1_000, seed=1).rows)
    training = {
        "emotions": list(read_comments(emotions / "train.tsv.gz").rows),
        "replies": [row for row in labelled if not held_out(row.text)],
        "tones": [row for row in built_in if not held_out(row.parent)],
    }
    rng = np.random.default_rng(0)
    noise = gibberish(2_000, rng)
    texts = [row.text for rows in training.values() for row in rows] + noise
    y = np.concatenate([targets(rows, source) for source, rows in training.items()] + [np.ones(len(noise), np.float32)])
    weight = np.where(y > 0, POSITIVE_WEIGHT, 1.0).astype(np.float32)
    weight[-len(noise) :] = 1.0
    embed = minilm().embed
    head = fit_head(embed(texts), y, weight, args.epochs)
    save_head("toxicity", head)

    tests = {
        "emotions": list(read_comments(emotions / "dev.tsv.gz").rows),
        "replies": [row for row in labelled if held_out(row.text)],
        "tones": [row for row in built_in if held_out(row.parent)],
    }
    for source, rows in tests.items():
        p = probabilities(head, embed([row.text for row in rows]))
        report(source, rows, targets(rows, source) > 0.5, p)
        for tone in TONES if source == "tones" else ():
            own = p[[row.label == tone for row in rows]]
            print(f"  {tone}: mean probability {own.mean():.2f}")
    p = probabilities(head, embed(gibberish(500, rng)))
    print(f"gibberish: mean probability {p.mean():.2f}, unsafe {np.mean(p >= UNSAFE_FROM):.2f}")


if __name__ == "__main__":
    main()
