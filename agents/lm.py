"""The language models agents start from: small GPT-2s from scratch, or anything transformers can load."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from transformers.utils import cached_file

SIZES: dict[str, dict[str, Any]] = {
    "d64-l2": {"n_embd": 64, "n_layer": 2, "n_head": 4},
    "d128-l2": {"n_embd": 128, "n_layer": 2, "n_head": 4},
    "d256-l4": {"n_embd": 256, "n_layer": 4, "n_head": 8},
    "d384-l6": {"n_embd": 384, "n_layer": 6, "n_head": 6},
    "gpt2": {"n_embd": 768, "n_layer": 12, "n_head": 12},
}
"""models to make from scratch, by width and layers; "gpt2" is the smallest of the original ones"""


@dataclass
class LM:
    """A language model with the tokenizer and the utterance limit of the environment it speaks in.

    Attributes:
        model: a causal language model; its vocabulary is the tokenizer's.
        tokenizer: the environment's.
        max_utterance_tokens: the environment's limit, the end token included.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerFast
    max_utterance_tokens: int

    @property
    def end_id(self) -> int:
        """The token that ends an utterance."""
        return self.tokenizer.eos_token_id

    @property
    def pad_id(self) -> int:
        """The token that fills the padding."""
        return self.tokenizer.pad_token_id

    @classmethod
    def from_scratch(cls, size: str, env: Any, seed: int = 0) -> LM:
        """A GPT-2 with random weights, without dropout, that reads as many tokens as the environment's episodes have.

        Args:
            size: one of ``SIZES``.
            env: an environment of lang_envs, or a vector of them.
            seed: of the weights; torch's global generator is not touched.

        Raises:
            ValueError: no such size.
        """
        if size not in SIZES:
            raise ValueError(
                f"There is no size {size!r}: choose one of {', '.join(SIZES)}, or load a model by its path."
            )
        env = env.unwrapped
        tokenizer = env.tokenizer
        config = GPT2Config(
            **SIZES[size],
            vocab_size=len(tokenizer),
            n_positions=env.max_tokens,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            # GPT-2's 0.02 is for a width of 768; in a narrow model it makes attention start almost uniform.
            initializer_range=0.02 * (768 / SIZES[size]["n_embd"]) ** 0.5,
            activation_function="gelu_pytorch_tanh",  # GPT-2's own function, computed in one step instead of eight
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = GPT2LMHeadModel(config)
        return cls(model, tokenizer, env.task.max_utterance_tokens)

    @classmethod
    def from_pretrained(cls, path: str | Path, env: Any) -> LM:
        """Any causal language model transformers can load, in float32.

        Its vocabulary must be that of the environment: make the environment with the model's own tokenizer
        (``gym.make(id, tokenizer=path)``). Where tokens were added to that tokenizer, the model gets new embeddings for
        them; embeddings that belong to no token are dropped, so that no policy can say them.

        Args:
            path: a folder, or a name on the Hugging Face hub.
            env: an environment of lang_envs, or a vector of them.

        Raises:
            ValueError: the model cannot be loaded, has another vocabulary, or reads fewer tokens than an episode has.
        """
        env = env.unwrapped
        try:
            model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
        except (OSError, ValueError) as error:
            reason = str(error).strip().split("\n")[0]
            raise ValueError(
                f"No language model could be loaded from {str(path)!r}: {reason} "
                "Without a network, or with HF_HUB_OFFLINE=1, only folders and models downloaded before can be loaded."
            ) from error
        if not _linear_head(model):
            raise ValueError(
                f"{type(model).__name__} scales or caps what its last layer says, and values could not be added to it. "
                "Take a model whose logits are its head's, such as a GPT-2, Llama or Qwen."
            )
        _fit_vocabulary(model, path, env.tokenizer)
        context = getattr(model.config.get_text_config(), "max_position_embeddings", None)
        if context is not None and context < env.max_tokens:
            raise ValueError(
                f"The model in {str(path)!r} reads {context} tokens, and episodes of this environment have up to "
                f"{env.max_tokens}. Make the environment with max_tokens={context}, or take another model."
            )
        return cls(model, env.tokenizer, env.task.max_utterance_tokens)


def _linear_head(model: PreTrainedModel) -> bool:
    """Whether the logits are a linear map of the last hidden states, as ``LMPolicy`` and ``ValueLM`` assume."""
    if model.config.model_type == "value_lm":  # made around a model that passed
        return True
    ids = torch.zeros(1, 2, dtype=torch.long)
    with torch.no_grad():
        head: Any = model.get_output_embeddings()
        return torch.allclose(head(read(model.base_model, ids)), model(ids).logits, atol=1e-3)


def _fit_vocabulary(model: PreTrainedModel, path: str | Path, tokenizer: PreTrainedTokenizerFast) -> None:
    """Gives the model one embedding for each token of the environment, whose tokenizer must contain the model's own."""
    size, wanted = model.get_input_embeddings().num_embeddings, len(tokenizer)
    try:
        cached_file(path, "tokenizer_config.json")  # without one, AutoTokenizer would make up an empty tokenizer
        own = AutoTokenizer.from_pretrained(path).get_vocab()
    except (OSError, ValueError):  # a model saved without its tokenizer: only the sizes can be compared
        own = tokenizer.get_vocab() if size == wanted else {}
    vocabulary = tokenizer.get_vocab()
    different = next((token for token, i in own.items() if vocabulary.get(token) != i), None)
    if not own or different is not None:
        detail = f"; {different!r} is token {own[different]} of the model's" if different is not None else ""
        raise ValueError(
            f"The model in {str(path)!r} has {size} tokens and the environment {wanted}, and they are not the same"
            f"{detail}. Make the environment with the model's tokenizer: gym.make(id, tokenizer={str(path)!r})."
        )
    if size != wanted:
        if model.config.model_type == "value_lm":
            raise ValueError(
                f"The values of the model in {str(path)!r} are for {size} tokens, and now there are {wanted}."
            )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model.resize_token_embeddings(wanted)


def read(trunk: Any, input_ids: Tensor) -> Tensor:
    """Last hidden states of whole episodes: right-padded tokens [B, T] -> [B, T, d]; for training, no past is kept.

    Attention is causal, so no real token sees the padding behind it and none needs a mask: plain causal attention is
    the fast kind. The trunk gets embeddings, not ids, because the library looks for padding in ids and warns.
    """
    return trunk(inputs_embeds=trunk.get_input_embeddings()(input_ids), use_cache=False).last_hidden_state


def native_bf16() -> bool:
    """Whether this machine computes in bfloat16 natively; where it does not, bfloat16 is slower than float32."""
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
