"""Trains the packaged upvote model, ``lang_envs/rewards/weights/upvotes.safetensors``.

    python scripts/train_upvotes.py                                          # a minute on one core
    python scripts/train_upvotes.py --comments comments_positive.csv comments_negative.csv --out mine

The embeddings of all-MiniLM-L6-v2 are frozen. Only a head of 49,409 numbers is trained, to predict whether a comment's
score is positive. The packaged model is trained on the built-in comments, whose scores are made up; with ``--comments``
it is trained on real ones instead. Gibberish counts as not voted up. Prints the AUC on comments of held-out parents.
"""

import argparse
from pathlib import Path
from zlib import crc32

import numpy as np
from train_head import WEIGHTS, auc, fit_head, gibberish, probabilities, save_head

from lang_envs.corpora.reddit.comment import Comment
from lang_envs.corpora.reddit.generated import generate
from lang_envs.corpora.reddit.read import read_comments
from lang_envs.rewards.text_classifier import minilm


def held_out(comment: Comment) -> bool:
    return crc32((comment.parent or comment.id).encode()) % 5 == 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--comments", type=Path, nargs="+", help="files with scores; the built-in comments by default")
    parser.add_argument("--limit", type=int, default=50_000, help="comments read from each file at most")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--out", default="upvotes", help=f"name of the weights in {WEIGHTS.name}/")
    args = parser.parse_args()
    if args.comments:
        rows = [row for row in read_comments(args.comments, args.limit).rows if row.score is not None]
    else:
        rows = list(generate(threads=2_000, seed=1).rows)
    y = np.array([(row.score or 0) > 0 for row in rows])
    if y.all() or not y.any():
        parser.error(f"expected both positive and other scores, got {y.sum()} positive ones of {len(y)}")
    test = np.array([held_out(row) for row in rows])
    rng = np.random.default_rng(0)
    noise = gibberish(len(rows) // 8, rng)
    embed = minilm().embed
    x = embed([row.text for row in rows])
    targets = np.concatenate([y[~test], np.zeros(len(noise))]).astype(np.float32)
    head = fit_head(np.concatenate([x[~test], embed(noise)]), targets, np.ones_like(targets), args.epochs)
    save_head(args.out, head)
    p = probabilities(head, x[test])
    print(
        f"{test.sum()} held-out comments, {y[test].mean():.2f} with a positive score: AUC {auc(y[test], p):.3f}, "
        f"accuracy {np.mean((p >= 0.5) == y[test]):.3f}"
    )
    if not args.comments:
        best = {label: y[[row.label == label for row in rows]].mean() for label in {row.label for row in rows}}
        told = np.array([best[row.label] for row in rows])
        print(f"of somebody who is told the tone: AUC {auc(y[test], told[test]):.3f}")
    p = probabilities(head, embed(gibberish(500, rng)))
    print(f"gibberish: mean probability {p.mean():.2f}, voted up {np.mean(p >= 0.5):.2f}")


if __name__ == "__main__":
    main()
