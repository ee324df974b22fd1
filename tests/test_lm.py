"""Language models from scratch and from folders: size, seed, vocabulary, context."""

import copy

import pytest
import torch
from tiny_models import (
    ARCHITECTURES,
    CONTEXT,
    END,
    PAD,
    TOKENIZER,
    TOKENS,
    VOCABULARY,
    library_warnings,
    make_env,
    make_lm,
    make_model,
)
from transformers import GraniteConfig, GraniteForCausalLM

from agents.models.lm import LM, SIZES, checkpoint_gradients, native_bf16
from agents.models.reading import read
from lang_envs.tokenizers import character_tokenizer


def test_from_scratch_fits_the_environment_and_its_seed():
    before = torch.get_rng_state()
    a, b, c = (LM.from_scratch("d64-l2", make_env(), seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    first = [next(iter(lm.model.parameters())) for lm in (a, b, c)]
    assert torch.equal(first[0], first[1]) and not torch.equal(first[0], first[2])
    config = a.model.config
    assert (config.vocab_size, config.n_positions, config.n_embd, config.n_layer) == (VOCABULARY, CONTEXT, 64, 2)
    assert config.resid_pdrop == config.embd_pdrop == config.attn_pdrop == 0
    assert (a.end_id, a.pad_id, a.max_utterance_tokens) == (END, PAD, 7)
    with pytest.raises(ValueError, match=r"There is no size 'huge'.*d128-l2"):
        LM.from_scratch("huge", make_env())


def test_every_size_can_be_cut_into_its_heads():
    assert all(size["n_embd"] % size["n_head"] == 0 for size in SIZES.values())


def test_the_activation_is_gpt2s_own():
    x = torch.linspace(-5, 5, 101)
    from transformers.activations import ACT2FN

    torch.testing.assert_close(ACT2FN["gelu_pytorch_tanh"](x), ACT2FN["gelu_new"](x), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_saved_model_loads_in_float32(architecture, tmp_path):
    saved = make_lm(architecture).to(torch.bfloat16)
    saved.save_pretrained(tmp_path)
    loaded = LM.from_pretrained(tmp_path, make_env()).model
    assert loaded.dtype == torch.float32
    for a, b in zip(saved.parameters(), loaded.parameters(), strict=True):
        assert torch.equal(a.float(), b)


def test_added_tokens_get_embeddings(tmp_path):
    saved = make_lm()
    saved.save_pretrained(tmp_path)
    TOKENIZER.save_pretrained(tmp_path)
    extended = copy.deepcopy(TOKENIZER)
    extended.add_tokens(["<more>"])
    before = torch.get_rng_state()
    model = LM.from_pretrained(tmp_path, make_env(tokenizer=extended)).model
    assert torch.equal(torch.get_rng_state(), before)
    weight = model.get_input_embeddings().weight
    assert weight.shape[0] == model.config.vocab_size == VOCABULARY + 1
    assert torch.equal(weight[:-1], saved.get_input_embeddings().weight)


def test_embeddings_of_no_token_are_dropped(tmp_path):
    make_lm(vocabulary=32).save_pretrained(tmp_path)
    TOKENIZER.save_pretrained(tmp_path)
    assert LM.from_pretrained(tmp_path, make_env()).model.get_output_embeddings().out_features == VOCABULARY


def test_what_does_not_fit_is_refused_in_words(tmp_path):
    make_lm().save_pretrained(tmp_path)
    other = character_tokenizer(TOKENS[::-1], end_token="<end>", pad_token="<pad>")
    longer = character_tokenizer([*TOKENS, "z"], end_token="<end>", pad_token="<pad>")
    with pytest.raises(ValueError, match=r"has 22 tokens and the environment 23.*gym.make"):
        LM.from_pretrained(tmp_path, make_env(tokenizer=longer))  # nothing says which tokens the model has
    TOKENIZER.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"is token .* of the model's.*gym.make"):
        LM.from_pretrained(tmp_path, make_env(tokenizer=other))
    with pytest.raises(ValueError, match=f"reads {CONTEXT} tokens.*{CONTEXT + 1}.*max_tokens={CONTEXT}"):
        LM.from_pretrained(tmp_path, make_env(CONTEXT + 1))
    with pytest.raises(ValueError, match=r"No language model could be loaded.*HF_HUB_OFFLINE"):
        LM.from_pretrained(tmp_path / "nowhere", make_env())
    with pytest.raises(ValueError, match=r"No language model could be loaded.*HF_HUB_OFFLINE"):
        LM.from_pretrained("no-such-organisation/no-such-model", make_env())


def test_logits_that_are_not_the_heads_are_refused(tmp_path):
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    GraniteForCausalLM(GraniteConfig(vocab_size=VOCABULARY, logits_scaling=3.0, **sizes)).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="GraniteForCausalLM scales or caps"):
        LM.from_pretrained(tmp_path, make_env())


def test_a_model_with_values_loads_as_it_is(tmp_path):
    saved = make_model("separate")
    saved.save_pretrained(tmp_path)
    TOKENIZER.save_pretrained(tmp_path)
    loaded = LM.from_pretrained(tmp_path, make_env()).model
    assert type(loaded) is type(saved)
    extended = copy.deepcopy(TOKENIZER)
    extended.add_tokens(["<more>"])
    with pytest.raises(ValueError, match="are for 22 tokens, and now there are 23"):
        LM.from_pretrained(tmp_path, make_env(tokenizer=extended))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_padding_behind_changes_nothing_and_no_warning_is_given(architecture, caplog):
    lm = make_lm(architecture)
    ids = torch.randint(0, 20, (3, 12), generator=torch.Generator().manual_seed(0))
    padded = torch.cat([ids, torch.full((3, 5), PAD)], 1)
    mask = (padded != PAD).long()
    with torch.no_grad(), library_warnings(caplog):
        states = read(lm.base_model, padded)[:, :12]
        torch.testing.assert_close(states, read(lm.base_model, ids), atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(states, lm.base_model(padded, attention_mask=mask)[0][:, :12], atol=1e-5, rtol=1e-5)
        assert not caplog.records
        lm.base_model(padded)
    assert ("attention_mask" in caplog.text) == (architecture == "gpt2")  # it warns where it is given ids


def test_who_cannot_compute_activations_again_says_so():
    with pytest.raises(ValueError, match="set gradient_checkpointing=False"):
        checkpoint_gradients(torch.nn.Linear(1, 1), True)
    checkpoint_gradients(torch.nn.Linear(1, 1), False)


def test_native_bf16_is_a_fact_of_the_machine():
    assert native_bf16() is native_bf16() in (True, False)
