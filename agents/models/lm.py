"""The language models from which agents start: small GPT-2s from scratch, or any model that transformers can load."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.utils import cached_file

from agents.decoding.attention import decoding_attention
from agents.decoding.cache import RowCache, window_of
from agents.models.adapter_files import Origin, holds_adapters, origin_of, read_adapters
from agents.models.end_tokens import one_end
from agents.models.lora import LoRAConfig, add_adapters, merged
from agents.models.precision import round_weights
from agents.models.reading import read
from agents.models.silent_tokens import silence
from agents.models.sizes import SIZES
from agents.models.speaking import put_back
from datasets_builders.checksums import CHECKSUMS, verify
from datasets_builders.hub import PREFIX, local
from lang_envs.model_files import located
from lang_envs.pretrained import Precision, load_model, load_vocabulary
from lang_envs.tokenizers import unused_ids, vocabulary_size


@dataclass
class LM:
    """A language model with the tokenizer and the utterance limit of an environment.

    Attributes:
        model: a causal language model; its vocabulary is the tokenizer's.
        tokenizer: the environment's.
        max_utterance_tokens: the environment's limit, the end token included.
        lora: settings of the model's adapters, or None without adapters.
        origin: the base model of the adapters, or None if there is none that can be opened again.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerFast
    max_utterance_tokens: int
    lora: LoRAConfig | None = None
    origin: Origin | None = None

    def __post_init__(self) -> None:
        """Restricts the model's distribution to the environment's actions."""
        speak_by(self.model, self.tokenizer)

    @property
    def end_id(self) -> int:
        """The token that ends an utterance."""
        return self.tokenizer.eos_token_id

    @property
    def pad_id(self) -> int:
        """The padding token."""
        return self.tokenizer.pad_token_id

    @classmethod
    def from_scratch(cls, size: str, env: Any, seed: int = 0) -> LM:
        """A GPT-2 with random weights and no dropout, whose context is the environment's ``max_tokens``.

        Args:
            size: one of ``SIZES``.
            env: an environment of lang_envs, or a vector of them.
            seed: seed of the weights; torch's global generator is not used.

        Raises:
            ValueError: there is no such size.
        """
        if size not in SIZES:
            raise ValueError(
                f"There is no size {size!r}: choose one of {', '.join(SIZES)}, or load a model by its path."
            )
        env = env.unwrapped
        tokenizer = env.tokenizer
        config = GPT2Config(
            **SIZES[size],
            vocab_size=vocabulary_size(tokenizer),
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
    def from_pretrained(
        cls,
        path: str | Path,
        env: Any,
        lora: LoRAConfig | None = None,
        seed: int = 0,
        dtype: Precision = "fp32",
    ) -> LM:
        """Any causal language model that transformers can load, or the model of a saved agent.

        A saved agent's model has the settings with which it was trained, without the decoding that was chosen for it
        later. Its adapters are merged into its weights.

        The model's vocabulary must be that of the environment: make the environment with the model's own tokenizer
        (``gym.make(id, tokenizer=path)``). The model gets new embeddings for tokens that were added to that tokenizer.
        Embeddings behind the last token are dropped. Ids that belong to no token are never sampled.

        The whole model is loaded into the processor's memory. To use a graphics card, call ``lm.model.to("cuda")``
        before you make an agent. There is no ``device_map``, because its hooks make cards wait for one another. To
        train on several cards, start the program with ``torchrun``, and set ``FitConfig.shard`` if one card cannot hold
        the model.

        Args:
            path: a folder, a ``.gguf`` file, ``"smollm2"``, a name on the Hugging Face hub, or "hub:owner/name" of an
                agent that was pushed there.
            env: an environment of lang_envs, or a vector of them.
            lora: train adapters with these settings (``agents.models.lora``); None: train the model's own weights.
            seed: seed of the adapters' initial weights.
            dtype: precision of the weights, "fp32" or "bf16". Adapters, value heads and the optimiser's state are in
                float32 in both cases (``agents.models.precision``).

        Raises:
            OSError: an agent cannot be fetched from the hub.
            ValueError: the model cannot be loaded, has another vocabulary, or has a context or an attention window that
                is shorter than the environment's ``max_tokens``; or adapters cannot be added.
        """
        env = env.unwrapped
        path = local(path, "agent") if str(path).startswith(PREFIX) else path
        try:
            if (Path(path) / CHECKSUMS).exists():  # a saved agent
                verify(Path(path))
            model = _opened(path)
        except ValueError as error:
            raise ValueError(
                f"No language model could be loaded: {error}. Without a network, or with HF_HUB_OFFLINE=1, only "
                "folders and models downloaded before can be loaded."
            ) from error
        agent = (Path(path) / CHECKSUMS).exists()  # another agent may be saved to its folder, so it is no origin
        origin = None if lora is None or agent else origin_of(model, path)
        _check_layout(model)
        before = cast(nn.Embedding, model.get_input_embeddings()).num_embeddings
        _fit_vocabulary(model, path, env.tokenizer)
        text = model.config.get_text_config()
        window = window_of(text)
        if window is not None and window < env.max_tokens:
            raise ValueError(
                f"Layers of the model in {str(path)!r} look back on {window} tokens, and episodes of this environment "
                f"have up to {env.max_tokens}. Beyond its window the model cannot play many episodes at once. Make "
                f"the environment with max_tokens={window}, or take a model with full attention."
            )
        context = getattr(text, "max_position_embeddings", None)
        if context is not None and context < env.max_tokens:
            raise ValueError(
                f"The model in {str(path)!r} reads {context} tokens, and episodes of this environment have up to "
                f"{env.max_tokens}. Make the environment with max_tokens={context}, or take another model."
            )
        if lora is not None:
            if vocabulary_size(env.tokenizer) > before:  # the new embeddings are untrained
                lora = dataclasses.replace(lora, embeddings=True)
            add_adapters(model, lora, seed)
        round_weights(model, dtype)
        return cls(model, env.tokenizer, env.task.max_utterance_tokens, lora, origin)


def speak_by(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> None:
    """Restricts a model's distribution to an environment's actions, in place; a second call changes nothing.

    Ids that belong to no token are never sampled, and all ends of a turn are merged into one.
    """
    silence(model, unused_ids(tokenizer))
    one_end(model, tokenizer)


def _opened(path: str | Path) -> PreTrainedModel:
    """The model, in float32 and without adapters.

    Raises:
        ValueError: it cannot be loaded.
    """
    if holds_adapters(path):
        return merged(read_adapters(Path(path))[0])
    model = load_model(AutoModelForCausalLM, path)
    put_back(model)
    return model


_PASSED: set[str] = set()
"""classes and configurations of models that passed ``_check_layout``"""


def _check_layout(model: PreTrainedModel) -> None:
    """Checks that a model works with ``LMPolicy`` and ``ValueLM``.

    Raises:
        ValueError: its logits are no linear map of its last hidden states, or it computes other logits with a cache
            than without.
    """
    layout = f"{type(model).__name__} {model.config.to_json_string(use_diff=False)}"
    if model.config.model_type == "value_lm" or layout in _PASSED:  # a value_lm is made from a model that passed
        return
    name, other = type(model).__name__, "Take another model, such as a GPT-2, Llama or Qwen."
    cache = RowCache([cast(PreTrainedModel, model.base_model)])  # refuses sliding windows and linear attention
    head: Any = model.get_output_embeddings()
    at = np.array([[0, 1, 2], [0, 1, 2]])  # [2, 3]
    ids = torch.from_numpy(at)  # any tokens that differ
    try:
        with torch.no_grad(), decoding_attention(cache.trunks):
            logits = model(ids, attention_mask=torch.ones_like(ids)).logits  # [2, 3, V]
            whole = head(read(model.base_model, ids))  # [2, 3, V]
            cache.forward(at[:, :2].astype(np.int32), at[:, :2])
            apart = head(cache.forward(np.array([[2], [1]], np.int32), np.array([[2], [1]]))[0])  # [2, 1, V]
    except (TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise ValueError(f"{name} cannot be read without masks of padding ({error}). {other}") from None
    if not torch.allclose(whole, logits, atol=1e-3):
        raise ValueError(f"{name} scales or caps its logits, and values could not be added to them. {other}")
    if not torch.allclose(apart.squeeze(1), torch.stack([logits[0, 2], logits[1, 1]]), atol=1e-3):
        raise ValueError(f"{name} computes other logits with a cache than without. {other}")
    _PASSED.add(layout)


def _fit_vocabulary(model: PreTrainedModel, path: str | Path, tokenizer: PreTrainedTokenizerFast) -> None:
    """Gives the model one embedding for each id of the environment's tokenizer.

    Raises:
        ValueError: the environment's tokenizer does not contain the model's own.
    """
    size, wanted = model.get_input_embeddings().num_embeddings, vocabulary_size(tokenizer)
    try:
        cached_file(
            located(path), "tokenizer_config.json"
        )  # without this file, AutoTokenizer would return an empty tokenizer
        own = load_vocabulary(path)
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


def checkpoint_gradients(model: PreTrainedModel, on: bool) -> None:
    """Turns gradient checkpointing on or off: whether the backward pass computes each layer's activations again.

    Gradients and dropout stay the same. Reentrant checkpointing would give no gradients where a layer's input has none,
    such as above frozen embeddings.

    Raises:
        ValueError: the architecture does not support it.
    """
    layers: list[Any] = [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]
    if on and not layers:
        raise ValueError(f"{type(model).__name__} has no gradient checkpointing: set gradient_checkpointing=False.")
    for layer in layers:
        layer.gradient_checkpointing = on
        layer._gradient_checkpointing_func = partial(checkpoint, use_reentrant=False)


def native_bf16() -> bool:
    """Whether this machine computes in bfloat16 natively; where it does not, bfloat16 is slower than float32."""
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
