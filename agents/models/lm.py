"""The language models agents start from: small GPT-2s from scratch, or anything transformers can load."""

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
    """A language model with the tokenizer and the utterance limit of the environment it speaks in.

    Attributes:
        model: a causal language model; its vocabulary is the tokenizer's.
        tokenizer: the environment's.
        max_utterance_tokens: the environment's limit, the end token included.
        lora: of the model's adapters, where it has any.
        origin: the model below them, where it can be opened again.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerFast
    max_utterance_tokens: int
    lora: LoRAConfig | None = None
    origin: Origin | None = None

    def __post_init__(self) -> None:
        """Gives the model the actions of the environment."""
        speak_by(self.model, self.tokenizer)

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
        """Any causal language model transformers can load, or that of a saved agent.

        A decoding that was chosen for a saved agent is not taken over: its model has the settings it was trained with.
        Adapters that it was saved with are added to its weights.

        Its vocabulary must be that of the environment: make the environment with the model's own tokenizer
        (``gym.make(id, tokenizer=path)``). Where tokens were added to that tokenizer, the model gets new embeddings for
        them; those behind the last token are dropped, and ids between tokens that belong to none are never said.

        It is loaded whole and into the processor's memory: ``lm.model.to("cuda")``, before an agent is made of it,
        moves it to a graphics card. There is no ``device_map``, whose hooks have cards wait for one another; several
        work side by side instead, started by ``torchrun``, with ``FitConfig.shard`` where one cannot hold the model.

        Args:
            path: a folder, a ``.gguf`` file, ``"smollm2"``, a name on the Hugging Face hub, or "hub:owner/name" of an
                agent that was pushed there.
            env: an environment of lang_envs, or a vector of them.
            lora: train adapters (``agents.models.lora``), not the model's own weights; None: train those.
            seed: of the adapters' first weights, where there are any.
            dtype: of the weights, "fp32" or "bf16". Adapters and value heads are in float32 in any case, and so is what
                the optimiser keeps of weights in bfloat16 (``agents.models.precision``).

        Raises:
            OSError: an agent cannot be fetched from the hub.
            ValueError: the model cannot be loaded, has another vocabulary, or reads fewer tokens than an episode has,
                in all or in the window of some layer; or adapters cannot be added.
        """
        env = env.unwrapped
        path = local(path, "agent") if str(path).startswith(PREFIX) else path
        try:
            if (Path(path) / CHECKSUMS).exists():  # an agent's
                verify(Path(path))
            model = _opened(path)
        except ValueError as error:
            raise ValueError(
                f"No language model could be loaded: {error}. Without a network, or with HF_HUB_OFFLINE=1, only "
                "folders and models downloaded before can be loaded."
            ) from error
        agent = (Path(path) / CHECKSUMS).exists()  # may be saved again, as another one
        origin = None if lora is None or agent else origin_of(model, path)
        _check_layout(model)
        before = cast(nn.Embedding, model.get_input_embeddings()).num_embeddings
        _fit_vocabulary(model, path, env.tokenizer)
        text = model.config.get_text_config()
        window = window_of(text)
        if window is not None and window < env.max_tokens:
            raise ValueError(
                f"Layers of the model in {str(path)!r} look back on {window} tokens, and episodes of this environment "
                f"have up to {env.max_tokens}: beyond its window the model cannot speak in many episodes at once. Make "
                f"the environment with max_tokens={window}, or take a model of full attention."
            )
        context = getattr(text, "max_position_embeddings", None)
        if context is not None and context < env.max_tokens:
            raise ValueError(
                f"The model in {str(path)!r} reads {context} tokens, and episodes of this environment have up to "
                f"{env.max_tokens}. Make the environment with max_tokens={context}, or take another model."
            )
        if lora is not None:
            if vocabulary_size(env.tokenizer) > before:  # embeddings that nothing has trained yet
                lora = dataclasses.replace(lora, embeddings=True)
            add_adapters(model, lora, seed)
        round_weights(model, dtype)
        return cls(model, env.tokenizer, env.task.max_utterance_tokens, lora, origin)


def speak_by(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> None:
    """Gives a model's scores the meaning of an environment's actions; twice is as good as once.

    Ids that belong to no token are never said, and all ends of a turn are one.
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
"""layouts that were checked; weights have no part in it"""


def _check_layout(model: PreTrainedModel) -> None:
    """Checks that the model can be read and spoken with as ``LMPolicy`` and ``ValueLM`` do.

    Raises:
        ValueError: its logits are no linear map of its last hidden states, or its past is not that of full attention.
    """
    layout = f"{type(model).__name__} {model.config.to_json_string(use_diff=False)}"
    if model.config.model_type == "value_lm" or layout in _PASSED:  # the former is made around a model that passed
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
        raise ValueError(f"{name} reads something else with a past than without. {other}")
    _PASSED.add(layout)


def _fit_vocabulary(model: PreTrainedModel, path: str | Path, tokenizer: PreTrainedTokenizerFast) -> None:
    """Gives the model one embedding for each id of the environment, whose tokenizer must contain the model's own."""
    size, wanted = model.get_input_embeddings().num_embeddings, vocabulary_size(tokenizer)
    try:
        cached_file(
            located(path), "tokenizer_config.json"
        )  # without one, AutoTokenizer would make up an empty tokenizer
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
    """Has the backward pass compute each layer's activations again, or keep them from the forward pass.

    Gradients stay the same, and dropout too. The kind called reentrant would find none where what a layer reads has no
    gradient, as above frozen embeddings.

    Raises:
        ValueError: the architecture does not know how.
    """
    layers: list[Any] = [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]
    if on and not layers:
        raise ValueError(f"{type(model).__name__} cannot compute activations again: set gradient_checkpointing=False.")
    for layer in layers:
        layer.gradient_checkpointing = on
        layer._gradient_checkpointing_func = partial(checkpoint, use_reentrant=False)


def native_bf16() -> bool:
    """Whether this machine computes in bfloat16 natively; where it does not, bfloat16 is slower than float32."""
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
