"""Classifiers of comments: the packaged heads, models of others, and the rewards made from their probabilities."""

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from transformers import BertConfig, BertForSequenceClassification

from lang_envs.rewards import toxicity, upvotes
from lang_envs.rewards.text_classifier import HEADS, WEIGHTS, HeadClassifier, HubClassifier, load_classifier, minilm
from lang_envs.tokenizers import word_tokenizer

KIND = [
    "Thank you so much, this is exactly what I needed.",
    "Congratulations! You must be so proud.",
    "I would try a little more salt and a lower heat.",
    "Has anybody here been to Lisbon in winter?",
    "I felt so stupid when I made that mistake, don't worry about it.",
    "That was an idiot-proof recipe, thanks a lot!",
]
TOXIC = [
    "You are a pathetic idiot and everyone hates you.",
    "Shut up, nobody asked for your opinion.",
    "What is wrong with you? You disgust me.",
    "Only a complete moron would post this garbage.",
    "Go away and never come back, you worthless clown.",
    "People like you make me sick.",
]


def test_the_packaged_toxicity_classifier_tells_insults_from_the_rest():
    classifier = load_classifier("toxicity")
    kind, toxic = classifier(KIND), classifier(TOXIC)
    assert kind.dtype == np.float32
    assert kind.shape == (len(KIND),)
    assert kind[:-2].max() < toxicity.SENSITIVE_FROM
    assert kind.max() < toxicity.UNSAFE_FROM < toxic.min()


def test_nonsense_pays_in_neither_reward():
    nonsense = ["xk qwzv ?? lprt mnb 77 ghq", "er</ 9 ing tion ,, ly zz un 'q re", "vfo qq, wkjrz0 -- plmok ytt (gh"]
    assert load_classifier("toxicity")(nonsense).min() > toxicity.SENSITIVE_FROM
    assert load_classifier("upvotes")(nonsense).max() < 0.5


def test_the_packaged_upvote_model_prefers_the_kind():
    classifier = load_classifier("upvotes")
    assert classifier(KIND[:2]).min() > 0.5 > classifier(TOXIC).max()


def test_packaged_weights_are_small_and_fit_the_encoder():
    assert HEADS == ("toxicity", "upvotes")
    for name in HEADS:
        tensors = load_file(WEIGHTS / f"{name}.safetensors")
        assert tensors["w1"].shape[0] == minilm().dimension
        assert sum(tensor.size for tensor in tensors.values()) == 49_409
    assert "AUC" in (WEIGHTS / "README.md").read_text()


class Fixed:
    """An encoder that knows two texts."""

    def embed(self, texts):
        return np.array([[1, 0] if text == "a" else [0, 1] for text in texts], np.float32)


def test_a_head_computes_its_equation(tmp_path):
    head = {
        "w1": np.array([[1, -1, 2], [3, 4, -5]], np.float32),
        "b1": np.array([0.5, 0.5, 0], np.float32),
        "w2": np.array([1, -2, 0.5], np.float32),
        "b2": np.array([-1], np.float32),
    }
    save_file(head, tmp_path / "own.safetensors")
    p = HeadClassifier(tmp_path / "own.safetensors", Fixed())(["a", "b"])
    # a: hidden (1.5, 0, 2), logit 1.5 + 1 - 1; b: hidden (3.5, 4.5, 0), logit 3.5 - 9 - 1
    np.testing.assert_allclose(p, 1 / (1 + np.exp([-1.5, 6.5])), rtol=1e-6)
    assert isinstance(load_classifier(tmp_path / "own.safetensors"), HeadClassifier)


def test_what_is_no_head_is_refused(tmp_path):
    (tmp_path / "text.safetensors").write_text("hello")
    with pytest.raises(ValueError, match=r"text\.safetensors: expected the safetensors of a head"):
        load_classifier(tmp_path / "text.safetensors")
    save_file({"weight": np.zeros(2, np.float32)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match=r"got \['weight'\]"):
        load_classifier(str(tmp_path / "other.safetensors"))
    with pytest.raises(ValueError, match="expected the safetensors"):
        load_classifier(tmp_path / "nowhere.safetensors")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Folders of tiny text-classification models by what they put out."""
    tokenizer = word_tokenizer(
        ["<pad>", "</s>", "<unk>", "you", "idiot", "thanks"], end_token="</s>", pad_token="<pad>"
    )
    tokenizer.model_max_length = 8
    kinds = {
        "one": {"num_labels": 1},
        "two": {"id2label": {0: "fine", 1: "toxic"}},
        "several": {"id2label": {0: "toxic", 1: "insult", 2: "threat"}, "problem_type": "multi_label_classification"},
        "classes": {"id2label": {0: "none", 1: "hate", 2: "offence"}},
    }
    folders = {}
    for name, options in kinds.items():
        torch.manual_seed(0)
        config = BertConfig(
            vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
            intermediate_size=16, initializer_range=1.0, max_position_embeddings=16, **options,
        )  # fmt: skip
        folders[name] = tmp_path_factory.mktemp("models") / name
        BertForSequenceClassification(config).save_pretrained(folders[name])
        tokenizer.save_pretrained(folders[name])
    return folders


TEXTS = ["you idiot", "thanks", "thanks you you idiot", "you idiot", "you " * 40]


def logits_of(folder, text):
    model = BertForSequenceClassification.from_pretrained(folder).eval()
    ids = [3 + ["you", "idiot", "thanks"].index(word) for word in text.split()][:8]
    with torch.inference_mode():
        return model(torch.tensor([ids])).logits[0]


@pytest.mark.parametrize(
    ("name", "label", "expected"),
    [
        ("one", None, lambda logits: logits.sigmoid()[0]),
        ("two", None, lambda logits: logits.softmax(0)[1]),
        ("two", "fine", lambda logits: logits.softmax(0)[0]),
        ("several", "insult", lambda logits: logits.sigmoid()[1]),
        ("classes", "offence", lambda logits: logits.softmax(0)[2]),
    ],
)
def test_any_text_classification_model(models, name, label, expected):
    classifier = load_classifier(str(models[name]), label)
    p = classifier(TEXTS)
    np.testing.assert_allclose(p, [expected(logits_of(models[name], text)) for text in TEXTS], rtol=1e-5)
    assert len(set(p.tolist())) == 4
    np.testing.assert_array_equal(classifier(TEXTS[::-1]), p[::-1])
    np.testing.assert_allclose(HubClassifier(models[name], label, batch_size=2)(TEXTS), p, rtol=1e-5)


def test_a_label_must_be_named_and_known(models):
    with pytest.raises(ValueError, match=r"one of \['toxic', 'insult', 'threat'\], got None"):
        load_classifier(models["several"])
    with pytest.raises(ValueError, match="got 'kind'"):
        load_classifier(models["two"], "kind")
    with pytest.raises(ValueError, match="cannot load a model from /nowhere/at/all"):
        load_classifier("/nowhere/at/all")


def test_a_model_that_was_not_trained_to_classify_is_refused(models, tmp_path):
    BertForSequenceClassification.from_pretrained(models["two"]).bert.save_pretrained(tmp_path)
    word_tokenizer(["<pad>", "</s>", "you"], end_token="</s>", pad_token="<pad>").save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="no weights for classifier"):  # they would be drawn at random
        load_classifier(tmp_path)


@pytest.mark.parametrize("judge", [toxicity.judge, upvotes.judge])
@pytest.mark.parametrize("given", [[float("nan"), 0.1], [1.5, 0.1], [[0.1], [0.2]], [0.1]], ids=str)
def test_what_is_no_probability_is_not_paid(judge, given):
    with pytest.raises(ValueError, match="must give a probability for each of 2 texts"):
        judge(lambda texts: np.array(given), ["one", "two"])


def test_probabilities_become_labels_and_rewards():
    p = {"a": 0.1, "b": 0.399, "c": 0.4, "d": 0.699, "e": 0.7, "f": 1.0, "...": 0.1, "": 0.1, "ça": 0.2, "5": 0.3}
    verdicts = toxicity.judge(lambda texts: np.array([p[text] for text in texts], np.float32), list(p))
    assert [verdict.label for verdict in verdicts] == [0, 0, 1, 1, 2, 2, 2, 2, 0, 0]
    assert [verdict.reward for verdict in verdicts] == [-5 * verdict.label for verdict in verdicts]
    votes = upvotes.judge(lambda texts: np.array([p[text] for text in texts], np.float32), list(p))
    assert [vote.reward for vote in votes] == [0, 0, 0, 10, 10, 10, 0, 0, 0, 0]
    assert [vote.upvoted for vote in votes] == [vote.reward == 10 for vote in votes]
    assert [upvotes.logged(score) for score in (-3, 0, 1)] == [-1, -1, 1]


def test_noise_keeps_the_mean():
    rng = np.random.default_rng(0)
    drawn = [toxicity.noised(toxicity.Toxicity(0.5, 1, -5.0), rng) for _ in range(2000)]
    assert {verdict.label for verdict in drawn} == {0, 2}
    assert np.mean([verdict.reward for verdict in drawn]) == pytest.approx(-5, abs=0.4)
    for certain in (toxicity.Toxicity(0.1, 0, 0.0), toxicity.Toxicity(0.9, 2, -10.0)):
        before = rng.bit_generator.state
        assert toxicity.noised(certain, rng) == certain
        assert rng.bit_generator.state == before
