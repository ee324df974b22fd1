"""Pretrained models: whole, quietly, from safetensors or GGUF, and without code of theirs.

A source of a model is a folder, a ``.gguf`` file, the name ``smollm2``, or a name on the hub: see
``lang_envs.model_files``. Nothing else in the project opens a file of the transformers library, but for GGUF files, of
which ``lang_envs.gguf`` makes folders: what holds here holds everywhere.
"""

from __future__ import annotations

import os
from typing import Any, Literal

from lang_envs.loading import loading
from lang_envs.model_files import located

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

    found = located(path)
    with loading(path):
        return AutoConfig.from_pretrained(found, trust_remote_code=False)


def load_tokenizer(path: Path, plain: bool = False) -> Any:
    """A tokenizer.

    Args:
        path: folder of a saved tokenizer, or any other source of a model.
        plain: whether it is what its own file says and nothing else. A class that is usual with the model's layout
            otherwise takes its place where transformers holds another to be a mistake.

    Raises:
        ValueError: where there is none, or it cannot be read.
    """
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    found, kind = located(path), PreTrainedTokenizerFast if plain else AutoTokenizer
    with loading(path):
        tokenizer = kind.from_pretrained(found, trust_remote_code=False)
    if not plain and (files := _files_of(found)):
        _VOCABULARIES.clear()  # one is enough: a model is opened behind its tokenizer
        _VOCABULARIES[found, files] = tokenizer.get_vocab()
    return tokenizer


_VOCABULARIES: dict[tuple[Path, tuple[Any, ...]], dict[str, int]] = {}


def load_vocabulary(path: Path) -> dict[str, int]:
    """The tokens of a tokenizer and their ids; those of the folder that was read last are not read again.

    Raises:
        ValueError: as ``load_tokenizer`` does.
    """
    found = located(path)
    known = _VOCABULARIES.get((found, _files_of(found)))
    return load_tokenizer(path).get_vocab() if known is None else known


def _files_of(folder: Path) -> tuple[Any, ...]:
    """The files of a folder, by which to see that it has changed; none where it is no folder."""
    if not os.path.isdir(folder):
        return ()
    with os.scandir(folder) as entries:
        facts = [(entry.name, entry.stat()) for entry in entries]
    return tuple(sorted((name, stat.st_size, stat.st_mtime_ns, stat.st_ino) for name, stat in facts))


def load_model(
    auto_class: Any, path: Path, config: Any = None, precision: Precision = "fp32", exact: bool = False
) -> Any:
    """A model, every weight of which was read and is a finite number.

    Args:
        auto_class: what to load it as, such as ``transformers.AutoModel``; the configuration says which class that is.
        path: folder of a saved model, or any other source of one.
        config: of the model; where it has fewer layers than were saved, the others are left out.
        precision: of the weights.
        exact: whether weights that the model has no place for are an error; else they are left out.

    Raises:
        ValueError: where there is no model; where weights of it are missing, which would otherwise be drawn at random,
            or not finite.
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
