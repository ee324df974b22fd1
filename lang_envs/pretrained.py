"""Pretrained models from folders or the hub: whole, quietly, from safetensors, and without code of theirs.

Nothing else in the project opens a file of the transformers library: what holds here holds everywhere.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

Precision = Literal["fp32", "bf16"]
Path = str | os.PathLike[str]

NO_STATED_LIMIT = 512
"""Tokens of a text that are read where neither the tokenizer nor the model states a maximum."""


def load_config(path: Path) -> Any:
    """The transformers configuration of a model.

    Raises:
        ValueError: where there is no model.
    """
    from transformers import AutoConfig

    with _loading(path):
        return AutoConfig.from_pretrained(path, trust_remote_code=False)


def load_tokenizer(path: Path, plain: bool = False) -> Any:
    """A tokenizer.

    Args:
        path: folder of a saved tokenizer, or its name on the hub.
        plain: whether it is what its own file says and nothing else. A class that is usual with the model's layout
            otherwise takes its place where transformers holds another to be a mistake.

    Raises:
        ValueError: where there is none, or it cannot be read.
    """
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    with _loading(path):
        return (PreTrainedTokenizerFast if plain else AutoTokenizer).from_pretrained(path, trust_remote_code=False)


def load_model(
    auto_class: Any, path: Path, config: Any = None, precision: Precision = "fp32", exact: bool = False
) -> Any:
    """A model, every weight of which was read and is a finite number.

    Args:
        auto_class: what to load it as, such as ``transformers.AutoModel``; the configuration says which class that is.
        path: folder of a saved model, or its name on the hub.
        config: of the model; where it has fewer layers than were saved, the others are left out.
        precision: of the weights.
        exact: whether weights that the model has no place for are an error; else they are left out.

    Raises:
        ValueError: where there is no model; where weights of it are missing, which would otherwise be drawn at random,
            or not finite.
    """
    import torch

    with _loading(path), torch.random.fork_rng(devices=[]):
        model, report = auto_class.from_pretrained(
            path,
            **({} if config is None else {"config": config}),
            dtype=torch.float32 if precision == "fp32" else torch.bfloat16,
            use_safetensors=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are reported as well
            trust_remote_code=False,
        )
    missing = sorted(key for key in report["missing_keys"] if not key.startswith("pooler."))
    for name, saved, wanted in sorted(report["mismatched_keys"]):
        raise ValueError(
            f"{path} has weights {name} of the shape {tuple(saved)}, and its configuration says {tuple(wanted)}"
        )
    strange = sorted(report["unexpected_keys"]) if exact else []
    if missing or strange:
        told = (
            f"no weights for {missing[0]} ({len(missing)} missing)" if missing else f"weights {strange[0]!r} too many"
        )
        raise ValueError(f"{path} has {told}: it was not saved as a {type(model).__name__}")
    for name, weights in model.named_parameters():
        if weights.numel() and not torch.stack(torch.aminmax(weights)).isfinite().all():  # which copies nothing
            raise ValueError(f"{path}: the weights {name} hold numbers that are not finite; the model is of no use")
    return model


def load(auto_class: Any, path: str, config: Any, precision: Precision) -> tuple[Any, Any]:
    """A model, ready to be used but not trained, and its tokenizer; arguments and errors as of ``load_model``."""
    model = load_model(auto_class, path, config, precision)
    return model.eval().requires_grad_(False), load_tokenizer(path)


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
def _loading(path: Path) -> Iterator[None]:
    """Errors in words; no progress bar, no report of weights left unused: layers left out are meant to be."""
    from transformers.utils import logging

    level, shows = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    except BaseException as error:
        # Damaged files make the library raise whatever comes; a panic of Rust is no Exception.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise ValueError(f"cannot load a model from {path}: {_reason(error)}") from error
    finally:
        logging.set_verbosity(level)
        if shows:
            logging.enable_progress_bar()


def _reason(error: BaseException) -> str:
    if "trust_remote_code" in str(error):
        return "it needs code that comes with it, which is never run; take a model whose layout transformers knows"
    said = str(error).strip().split("\n")[0][:300] or type(error).__name__
    return (
        "expected a folder with config.json, model.safetensors and tokenizer.json, or the name of such a model on the "
        f"hub while that can be reached ({type(error).__name__}: {said})"
    )
