"""Pretrained models from folders or the hub: whole, quietly, from safetensors, and without code of theirs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

Precision = Literal["fp32", "bf16"]

NO_STATED_LIMIT = 512
"""Tokens of a text that are read where neither the tokenizer nor the model states a maximum."""


def load_config(path: str) -> Any:
    """The transformers configuration of a model.

    Raises:
        ValueError: where there is no model.
    """
    from transformers import AutoConfig

    with _loading(path):
        return AutoConfig.from_pretrained(path)


def load(auto_class: Any, path: str, config: Any, precision: Precision) -> tuple[Any, Any]:
    """A model, ready to be used but not trained, and its tokenizer.

    Args:
        auto_class: what to load it as, such as ``transformers.AutoModel``; the configuration says which class that is.
        path: folder of a saved model, or its name on the hub.
        config: of the model; where it has fewer layers than were saved, the others are left out.
        precision: of the weights.

    Raises:
        ValueError: where there is no model, or weights of it are missing, which would otherwise be drawn at random.
    """
    import torch
    from transformers import AutoTokenizer

    with _loading(path), torch.random.fork_rng(devices=[]):
        model, report = auto_class.from_pretrained(
            path,
            config=config,
            dtype=torch.float32 if precision == "fp32" else torch.bfloat16,
            use_safetensors=True,
            output_loading_info=True,
        )
        tokenizer = AutoTokenizer.from_pretrained(path)
    missing = sorted(key for key in report["missing_keys"] if not key.startswith("pooler."))
    if missing:
        raise ValueError(
            f"{path} has no weights for {missing[0]} ({len(missing)} missing): it was not saved as a "
            f"{type(model).__name__}"
        )
    return model.eval().requires_grad_(False), tokenizer


def token_limit(tokenizer: Any, model: Any) -> int:
    """Tokens of a text that a model can take, special tokens included: the least of what its parts state.

    A tokenizer that states no limit says 1e30, which no C integer holds.
    """
    positions = (getattr(model.config, "max_position_embeddings", None) or 0) - first_position(model)
    return min((n for n in (positions, tokenizer.model_max_length) if 0 < n < 1_000_000), default=NO_STATED_LIMIT)


def first_position(model: Any) -> int:
    """RoBERTa counts positions from behind its padding index; most others from 0."""
    import torch

    most = getattr(model.config, "max_position_embeddings", None)
    for module in model.modules():
        if isinstance(module, torch.nn.Embedding) and module.num_embeddings == most and module.padding_idx is not None:
            return module.padding_idx + 1
    return 0


@contextmanager
def _loading(path: str) -> Iterator[None]:
    """Errors in words; no progress bar, no report of weights left unused: layers left out are meant to be."""
    from transformers.utils import logging

    level, shows = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    except OSError as error:
        raise ValueError(
            f"cannot load a model from {path}: expected a folder with config.json, model.safetensors and "
            "tokenizer.json, or the name of such a model on the hub while that can be reached"
        ) from error
    finally:
        logging.set_verbosity(level)
        if shows:
            logging.enable_progress_bar()
