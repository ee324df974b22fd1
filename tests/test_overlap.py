"""BLEU, chrF and METEOR: known values, the libraries' own numbers, and texts with nothing in them."""

import math

import numpy as np
import pytest

pytest.importorskip("sacrebleu", reason="sacrebleu is not installed")
pytest.importorskip("nltk", reason="nltk is not installed")

from lang_envs.rewards.overlap import BLEU, METEOR, ChrF

MEASURES = [BLEU, ChrF, METEOR]
PAIRS = [
    ("i would like to book a table for two", "i would like a table for two people"),
    ("There are 3 hotels, in the north!", "there are three hotels in the north ."),
    ("das Café schließt um 23 Uhr \U0001f600", "das café öffnet um 23 Uhr"),
    ("yes", "no"),
]


@pytest.mark.parametrize("measure", MEASURES)
def test_range_shape_and_order(measure):
    near, far, same = measure()(
        ["the train leaves at nine", "what area would you like", "the train leaves at noon"],
        ["the train leaves at noon"] * 3,
    )
    assert 0 <= far < near < same <= 1
    found = measure()(*zip(*PAIRS, strict=True))
    assert found.dtype == np.float32
    assert found.shape == (4,)
    assert ((found >= 0) & (found <= 1)).all()


@pytest.mark.parametrize("measure", MEASURES)
def test_an_empty_text_scores_nothing(measure):
    assert measure()(["", "  ", "yes", ""], ["yes", "yes", "\n", ""]).tolist() == [0, 0, 0, 0]
    assert measure()([], []).shape == (0,)


@pytest.mark.parametrize("measure", MEASURES)
def test_as_many_references_as_candidates(measure):
    with pytest.raises(ValueError, match="a reference for each of 1 candidates, got 2"):
        measure()(["a"], ["a", "b"])


def test_bleu_is_sacrebleus():
    from sacrebleu import sentence_bleu

    wanted = [sentence_bleu(c, [r]).score / 100 for c, r in PAIRS]
    np.testing.assert_allclose(BLEU()(*zip(*PAIRS, strict=True)), wanted, rtol=1e-6)


def test_bleu_by_hand():
    # 1-grams 3/4, 2-grams 2/3, 3-grams 1/2, no 4-gram: smoothed to 1 / (2 * 1); the lengths agree
    wanted = (3 / 4 * 2 / 3 * 1 / 2 * 1 / 2) ** (1 / 4)
    assert BLEU()(["a b c d"], ["a b c e"]) == pytest.approx(wanted)
    # one word of two: no higher orders to look at, and too short
    assert BLEU()(["a"], ["a b"]) == pytest.approx(math.exp(1 - 2 / 1))


def test_chrf_is_sacrebleus():
    from sacrebleu import sentence_chrf

    wanted = [sentence_chrf(c, [r]).score / 100 for c, r in PAIRS]
    np.testing.assert_allclose(ChrF()(*zip(*PAIRS, strict=True)), wanted, rtol=1e-6)


def test_meteor_by_hand():
    # "booked" and "books" share a stem; three words of three match in one chunk
    assert METEOR()(["she booked it"], ["She books it"]) == pytest.approx(1 - 0.5 / 3**3)
    # no synonyms: "purchase" is not "buy"; P = R = 2/3 in two chunks of two matches
    assert METEOR()(["we buy rooms"], ["we purchase rooms"]) == pytest.approx(2 / 3 * (1 - 0.5))
    # P = 1, R = 1/2
    assert METEOR()(["yes"], ["yes please"]) == pytest.approx(1 * 0.5 / (0.9 * 1 + 0.1 * 0.5) * 0.5)
