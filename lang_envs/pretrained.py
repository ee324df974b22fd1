"""Loads pretrained models and tokenizers from safetensors or GGUF, checks them, and never runs code of theirs.

A source of a model is a folder, a ``.gguf`` file, the name ``smollm2``, or a name on the hub (see
``lang_envs.model_files``). Only this module, and ``lang_envs.gguf`` for GGUF files, opens files with the transformers
library. So these rules hold in the whole project.
"""

from __future__ import annotations

import os
from typing import Any, Literal

from lang_envs.loading import loading
from lang_envs.model_files import located

Precision = Literal["fp32", "bf16"]
Path = str | os.PathLike[str]

NO_STATED_LIMIT = 512
"""Most tokens of a text if neither the tokenizer nor the model states a maximum."""


def load_config(path: Path) -> Any:
    """The transformers configuration of a model.

    Raises:
        ValueError: there is no model.
    """
    from transformers import AutoConfig

    found = located(path)
    with loading(path):
        return AutoConfig.from_pretrained(found, trust_remote_code=False)


def load_tokenizer(path: Path, plain: bool = False) -> Any:
    """A tokenizer.

    Args:
        path: folder of a saved tokenizer, or any other source of a model.
        plain: whether the tokenizer is exactly what its file says. Otherwise transformers may replace it by the class
            that is usual for the model's layout.

    Raises:
        ValueError: there is no tokenizer, or it cannot be read.
    """
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    found, kind = located(path), PreTrainedTokenizerFast if plain else AutoTokenizer
    with loading(path):
        tokenizer = kind.from_pretrained(found, trust_remote_code=False)
    if not plain and (files := _files_of(found)):
        _VOCABULARIES.clear()  # one is enough, because a model is opened right after its tokenizer
        _VOCABULARIES[found, files] = tokenizer.get_vocab()
    return tokenizer


_VOCABULARIES: dict[tuple[Path, tuple[Any, ...]], dict[str, int]] = {}


def load_vocabulary(path: Path) -> dict[str, int]:
    """The tokens of a tokenizer and their ids. The tokenizer that was loaded last is not read again.

    Raises:
        ValueError: as ``load_tokenizer`` does.
    """
    found = located(path)
    known = _VOCABULARIES.get((found, _files_of(found)))
    return load_tokenizer(path).get_vocab() if known is None else known


def _files_of(folder: Path) -> tuple[Any, ...]:
    """Facts about the files of a folder that change when the folder changes; empty if it is not a folder."""
    if not os.path.isdir(folder):
        return ()
    with os.scandir(folder) as entries:
        facts = [(entry.name, entry.stat()) for entry in entries]
    return tuple(sorted((name, stat.st_size, stat.st_mtime_ns, stat.st_ino) for name, stat in facts))


def load_model(
    auto_class: Any, path: Path, config: Any = None, precision: Precision = "fp32", exact: bool = False
) -> Any:
    """A model, after checking that every weight was read and is finite.

    Args:
        auto_class: the class to load it with, such as ``transformers.AutoModel``; the configuration decides the class
            of the model.
        path: folder of a saved model, or any other source of one.
        config: the model's configuration. If it has fewer layers than were saved, the other layers are left out.
        precision: the precision of the weights.
        exact: whether saved weights that the model does not have are an error; otherwise they are left out.

    Raises:
        ValueError: there is no model, a weight has another shape or is not finite, or weights are missing (the library
            would draw them at random).
    """
    import torch

    found = located(path)
    with loading(path), torch.random.fork_rng(devices=[]):
        model, report = auto_class.from_pretrained(
            found,
            **({} if config is None else {"config": config}),
            dtype=torch.float32 if precision == "fp32" else torch.bfloat16,
            use_safetensors=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # the library then reports them, and they are refused below
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
        if weights.numel() and not torch.stack(torch.aminmax(weights)).isfinite().all():  # copies no weights
            raise ValueError(f"{path}: the weights {name} hold numbers that are not finite; the model is of no use")
    return model


def load(auto_class: Any, path: str, config: Any, precision: Precision) -> tuple[Any, Any]:
    """A model for inference and its tokenizer; arguments and errors as those of ``load_model``."""
    model = load_model(auto_class, path, config, precision)
    return model.eval().requires_grad_(False), load_tokenizer(path)


def token_limit(tokenizer: Any, model: Any) -> int:
    """Most tokens of a text that a model can take, special tokens included: the smallest limit that its parts state.

    A tokenizer without a limit states 1e30, which no C integer can hold.
    """
    positions = (getattr(model.config, "max_position_embeddings", None) or 0) - first_position(model)
    return min((n for n in (positions, tokenizer.model_max_length) if 0 < n < 1_000_000), default=NO_STATED_LIMIT)


def first_position(model: Any) -> int:
    """The number of the first position: after the padding index for RoBERTa, 0 for most others."""
    import torch

    most = getattr(model.config, "max_position_embeddings", None)
    for module in model.modules():
        if isinstance(module, torch.nn.Embedding) and module.num_embeddings == most and module.padding_idx is not None:
            return module.padding_idx + 1
    return 0
