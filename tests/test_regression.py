"""Similarity by a sequence-regression model: the model's number for each pair, whatever else is in the batch."""

import numpy as np
import pytest
import torch
from text_models import save_text_model
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from lang_envs.rewards.regression import SequenceRegression

CANDIDATES = ["a b c", "", "e e e e e e", "b", "a b c", "a d"]
REFERENCES = ["a b d", "c c", "e", "b", "a b d", "a " * 60]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("bleurt")
    save_text_model(path, "bert", num_labels=1)
    return path


def test_the_number_of_each_pair_alone(folder):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    wanted = []
    for candidate, reference in zip(CANDIDATES, REFERENCES, strict=True):
        inputs = tokenizer([reference], [candidate], return_tensors="pt", truncation=True, max_length=64)
        with torch.no_grad():
            wanted.append(model(**inputs).logits.item())
    for batch_tokens in (1, 16, 2048):
        found = SequenceRegression(folder, batch_tokens=batch_tokens)(CANDIDATES, REFERENCES)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert len({round(number, 4) for number in wanted}) == 5  # two pairs are the same


def test_positions_behind_the_padding_index_are_not_counted(tmp_path):
    save_text_model(tmp_path, "roberta", num_labels=1, max_positions=18)
    assert np.isfinite(SequenceRegression(tmp_path)(["a " * 40], ["b"])).all()


def test_the_reference_stands_first(folder):
    scorer = SequenceRegression(folder)
    assert scorer(["a b c"], ["d"]) != pytest.approx(scorer(["d"], ["a b c"]))


def test_no_pair(folder):
    assert SequenceRegression(folder)([], []).shape == (0,)


def test_as_many_references_as_candidates(folder):
    with pytest.raises(ValueError, match="a reference for each of 1 candidates, got 2"):
        SequenceRegression(folder)(["a"], ["a", "b"])


def test_a_classifier_is_no_regression(tmp_path):
    save_text_model(tmp_path, "bert", num_labels=3)
    with pytest.raises(ValueError, match=r"has 3 outputs; expected a regression model with one"):
        SequenceRegression(tmp_path)


def test_an_encoder_without_a_head_is_no_regression(tmp_path):
    import json

    save_text_model(tmp_path, "bert")
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"id2label": {"0": "LABEL_0"}}))
    with pytest.raises(ValueError, match=r"no weights for classifier"):
        SequenceRegression(tmp_path)


def test_pickled_weights_are_not_read(tmp_path):
    save_text_model(tmp_path, "bert", num_labels=1)
    (tmp_path / "model.safetensors").unlink()
    torch.save({}, tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"expected a folder with config.json, model.safetensors"):
        SequenceRegression(tmp_path)


def test_no_such_folder():
    with pytest.raises(ValueError, match=r"cannot load a model from /no/such/folder"):
        SequenceRegression("/no/such/folder")
