"""Language models with few weights and sharp distributions, and a stand-in for an environment, for the tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import torch
import transformers.utils.logging as library
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from agents.models.value_lm import ValueLM
from lang_envs.tokenizers import character_tokenizer

TOKENS = [*"abcdefghijklmnopqrst", "<pad>", "<end>"]
TOKENIZER = character_tokenizer(TOKENS, end_token="<end>", pad_token="<pad>")
PAD, END, VOCABULARY, CONTEXT = 20, 21, 22, 48
ARCHITECTURES = ("gpt2", "llama")
KINDS = ("plain", "shared", "separate")


@contextmanager
def library_warnings(caplog: Any) -> Iterator[None]:
    """Lets ``caplog`` see what transformers warns of, also what it has warned of once already."""
    level = library.get_verbosity()  # a server of transformers' own, in another test, has a say in it
    library.warning_once.cache_clear()
    library.set_verbosity_warning()
    library.enable_propagation()
    try:
        with caplog.at_level("WARNING"):
            yield
    finally:
        library.disable_propagation()
        library.set_verbosity(level)


def make_env(max_tokens: int = CONTEXT, tokenizer: Any = TOKENIZER) -> Any:
    """What a language model wants to know of an environment."""
    env = SimpleNamespace(tokenizer=tokenizer, max_tokens=max_tokens, task=SimpleNamespace(max_utterance_tokens=7))
    env.unwrapped = env
    return env


def make_lm(architecture: str = "gpt2", vocabulary: int = VOCABULARY) -> Any:
    """Weights ten times the usual: tokens differ in likelihood, and a wrong position or past shows."""
    ids = {"bos_token_id": None, "eos_token_id": END, "pad_token_id": PAD}
    shared = {"vocab_size": vocabulary, "initializer_range": 0.2, **ids}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        if architecture == "gpt2":
            sizes = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": CONTEXT}
            drop = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
            return GPT2LMHeadModel(GPT2Config(**sizes, **drop, **shared)).eval()
        sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
        heads = {"num_attention_heads": 4, "num_key_value_heads": 2}  # grouped queries
        return LlamaForCausalLM(LlamaConfig(max_position_embeddings=CONTEXT, **sizes, **heads, **shared)).eval()


def make_model(kind: str = "shared", architecture: str = "gpt2", **settings: Any) -> Any:
    """A plain language model, or a ``ValueLM`` whose targets differ from what they follow."""
    lm = make_lm(architecture)
    if kind == "plain":
        return lm
    model = ValueLM.around(lm, trunks=kind, **{"advantage_weight": 4.0} | settings).eval()
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for target in (model.target_q, *model.trunks[2:]):
            for parameter in target.parameters():
                parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return model
