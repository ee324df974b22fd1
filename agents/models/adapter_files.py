"""Files of a model with adapters: the trained weights, and the source of the base model, which is opened again.

    adapters.json           the base model's source, a checksum of its weights, and the settings of the adapters
    adapters.safetensors    every weight that training may change: adapters, value heads, trained embeddings
    config.json             the configuration of the whole model
    reference/              the same weights of the start policy, which shares the base model

The files take megabytes where the whole model takes gigabytes. They can be opened as long as the source can.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoModelForCausalLM, GenerationConfig, PreTrainedModel

from agents.models.extended_embedding import split
from agents.models.lora import LoRAConfig, add_adapters, changing, copy_of, sum_of
from agents.models.precision import round_weights
from agents.models.resizing import resize
from agents.models.value_config import ValueLMConfig
from agents.models.value_lm import ValueLM
from datasets_builders.atomic import read_object, write_text
from datasets_builders.fields import typed
from lang_envs.pretrained import Precision, load_config, load_model

DESCRIPTION = "adapters.json"
ADAPTERS = "adapters.safetensors"
REFERENCE = "reference"
_OF_THE_FILE = {"transformers_version", "architectures", "dtype", "_name_or_path"}


@dataclass(frozen=True)
class Origin:
    """The base model to which adapters were added."""

    source: str
    """a folder, a GGUF file, or a name (``lang_envs.model_files``)"""
    checksum: int
    """checksum of its weights in float32 (``agents.models.lora.sum_of``)"""


@dataclass(frozen=True)
class _Description:
    """What ``adapters.json`` holds."""

    origin: dict[str, Any]
    lora: dict[str, Any]
    generation: dict[str, Any]
    """settings of the model's ``generate``"""


def origin_of(model: PreTrainedModel, source: str | Path) -> Origin:
    """The origin of a model that was just loaded from ``source``, in float32."""
    where = Path(source).resolve() if Path(source).exists() else source
    return Origin(str(where), sum_of(model.state_dict().values()))


def write_adapters(
    folder: Path,
    model: PreTrainedModel,
    origin: Origin,
    lora: LoRAConfig,
    reference: PreTrainedModel | None = None,
) -> None:
    """Writes the weights that training may change of a model with adapters, and of its start policy.

    Args:
        folder: an empty folder.
        model: the model with adapters; ``read_adapters`` returns it again.
        origin: the base model.
        lora: settings of the adapters.
        reference: the start policy, a copy of the language model with other trained weights, or None.
    """
    trained = changing(model)
    facts = _Description(asdict(origin), asdict(lora), model.generation_config.to_diff_dict())
    write_text(folder / DESCRIPTION, json.dumps(asdict(facts), indent=2))
    save_file(_separate(trained), folder / ADAPTERS)
    model.config.save_pretrained(folder)
    if reference is not None:
        weights = reference.state_dict()
        learned = {name.removeprefix("lm.") for name in trained} if isinstance(model, ValueLM) else {*trained}
        (folder / REFERENCE).mkdir()
        save_file(_separate({n: x for n, x in weights.items() if n in learned}), folder / REFERENCE / ADAPTERS)


def holds_adapters(folder: str | Path) -> bool:
    """Whether a folder holds adapters instead of a whole model."""
    return (Path(folder) / DESCRIPTION).is_file()


def read_adapters(folder: Path, dtype: Precision = "fp32") -> tuple[PreTrainedModel, LoRAConfig, Origin]:
    """The saved model with its adapters, their settings, and the base model's origin.

    The model computes the same distribution as when it was saved, and can be trained further.

    Raises:
        ValueError: the base model cannot be opened, its weights are others now, or the saved weights do not fit it.
    """
    file = folder / DESCRIPTION
    described = typed(_Description, read_object(file), file)
    origin, lora = typed(Origin, described.origin, file), typed(LoRAConfig, described.lora, file)
    model, config = _opened(origin, folder), load_config(folder)
    text: Any = config.lm if isinstance(config, ValueLMConfig) else config
    with torch.random.fork_rng(devices=[]):
        resize(model, text.vocab_size, getattr(text, "max_position_embeddings", None))
        if new := _new_tokens(model, folder):
            split(model, text.vocab_size - new)
        add_adapters(model, lora)
        round_weights(model, dtype)
        _set(model, text)
        if isinstance(config, ValueLMConfig):
            config.lm = model.config
            model = ValueLM(config, model)
        else:
            _set(model, config)
    _fill(model, folder)
    model.generation_config = GenerationConfig(**described.generation)
    return model.eval(), lora, origin


def read_start(folder: Path, model: PreTrainedModel) -> PreTrainedModel | None:
    """The start policy that was saved with a language model, or None; it shares the model's frozen weights.

    Raises:
        ValueError: the saved weights do not fit the model.
    """
    if not (folder / REFERENCE).is_dir():
        return None
    start = copy_of(model)
    _fill(start, folder / REFERENCE)
    return start.eval().requires_grad_(False)


def _opened(origin: Origin, folder: Path) -> PreTrainedModel:
    try:
        model = load_model(AutoModelForCausalLM, origin.source)
    except ValueError as error:
        raise ValueError(
            f"{folder} holds adapters of the model {origin.source!r}, which must be where it was: {error}. An agent "
            "saved with merge=True needs no other model."
        ) from error
    if (found := sum_of(model.state_dict().values())) != origin.checksum:
        raise ValueError(
            f"{folder} holds adapters of another model: the weights of {origin.source!r} have the checksum {found}, "
            f"and had {origin.checksum} when the adapters were saved. Restore that model."
        )
    return model


def _new_tokens(model: PreTrainedModel, folder: Path) -> int:
    """The number of embeddings of added tokens in the file; 0 if the whole table was trained or nothing was added."""
    with safe_open(folder / ADAPTERS, "pt") as file:
        table = next(name for name, part in model.named_modules() if part is model.get_input_embeddings())
        name = f"{table}.new"
        return file.get_slice(name).get_shape()[0] if name in file.keys() else 0  # noqa: SIM118  # it is no dictionary


def _set(model: PreTrainedModel, saved: Any) -> None:
    """Copies to the model's configuration the entries that training added, such as the bounds of return bins."""
    now = model.config.to_dict()
    for name, value in saved.to_dict().items():
        if name not in _OF_THE_FILE and (name not in now or now[name] != value):
            setattr(model.config, name, value)


def _fill(model: nn.Module, folder: Path) -> None:
    """Loads the weights of ``adapters.safetensors``; those of the language model become trainable."""
    weights = load_file(folder / ADAPTERS)
    prefix, lm = ("lm.", model.lm) if isinstance(model, ValueLM) else ("", model)
    for name, tensor in lm.state_dict(prefix=prefix, keep_vars=True).items():  # by all names of tied weights
        if name in weights and isinstance(tensor, nn.Parameter):
            tensor.requires_grad_(True)
    wanted = changing(model)
    if differ := weights.keys() ^ wanted.keys():
        raise ValueError(f"{folder / ADAPTERS} does not fit the model: {min(differ)} is in one of them only.")
    for name, tensor in weights.items():
        if not tensor.isfinite().all():
            raise ValueError(f"{folder / ADAPTERS}: the weights {name} hold numbers that are not finite.")
        if tensor.shape != wanted[name].shape:
            expected = f"{tuple(wanted[name].shape)}, not {tuple(tensor.shape)}"
            raise ValueError(f"{folder / ADAPTERS}: the weights {name} should have the shape {expected}.")
    model.load_state_dict(weights, strict=False)


def _separate(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors on the processor, contiguous."""
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
