"""Adapters (LoRA, through peft): the weights of a language model are frozen, and a change of low rank is learned.

    h = W x + (alpha / rank) B A x          A [rank, in] and B [out, rank] are trained, B from 0; W [out, in] is not

(Hu et al. 2021, arXiv:2106.09685.) Gradients and AdamW's averages exist for A and B only. Copies of a model that an
algorithm needs (the three transformers of Snell et al. 2023, the reference policy) share W. Value heads are trained in
full. Checkpoints of a run and saved agents (``agents.models.adapter_files``) hold the weights that change, and a
checksum of W. ``agent.save(folder, merge=True)`` adds the change to W. Such an agent opens without peft and without the
base model, and takes the disk space of the whole model. An agent whose base model cannot be opened again by its name is
always saved so.

The peak memory of training GPT-2 (124 M weights, rank 8: 1.2 M trained) on 4 episodes of 256 tokens, on a processor:

    BC                                3.8 GB        with FitConfig.gradient_checkpointing   2.9 GB
    BC, adapters                      2.7 GB        with FitConfig.gradient_checkpointing   1.8 GB
    DPO (with a reference policy)     4.3 GB        DPO, adapters                           2.6 GB

in float32, as ``tests/perf/test_perf_memory.py`` prints. Runs differ by up to 0.3 GB.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from agents.models.extended_embedding import join
from datasets_builders.fields import check_types


@dataclass(frozen=True)
class LoRAConfig:
    """Which layers get adapters, and of what size.

    Raises:
        ValueError: a setting is out of its range.
    """

    rank: int = 8
    """rank of the change of each matrix"""
    alpha: float = 16.0
    """scale of the change, which is multiplied by alpha / rank"""
    dropout: float = 0.0
    """dropout of the adapters' inputs, in training that uses dropout (``FitConfig.dropout``)"""
    layers: tuple[str, ...] | None = None
    """names of the layers that get adapters, such as ("q_proj", "v_proj"); None: every linear layer but the head"""
    embeddings: bool = False
    """train embeddings and head too, in full; always on if tokens were added to the vocabulary"""

    def __post_init__(self) -> None:
        check_types(self)
        if self.rank < 1:
            raise ValueError(f"rank must be at least 1, not {self.rank}.")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must lie in [0, 1), not {self.dropout}.")
        if self.layers is not None:
            object.__setattr__(self, "layers", tuple(self.layers))  # JSON has no tuples


def add_adapters(model: PreTrainedModel, config: LoRAConfig, seed: int = 0) -> None:
    """Freezes a language model, or that of a ``ValueLM``, and adds adapters to each of its transformers, in place.

    The model's distribution does not change. Torch's global generator is not used.

    Raises:
        ValueError: peft is not installed, or the model has no layers of these names.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise ValueError(f"LoRA needs peft ({error}): pip install 'lang-envs[lora]'.") from None
    getattr(model, "lm", model).requires_grad_(False)
    trunks = _trunks(model)
    wanted = LoraConfig(
        r=config.rank,
        lora_alpha=cast(int, config.alpha),  # peft's type is int, but it only multiplies by it
        lora_dropout=config.dropout,
        target_modules="all-linear" if config.layers is None else list(config.layers),
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in model.modules()),  # GPT-2 keeps W transposed
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for trunk in trunks:
            inject_adapter_in_model(wanted, trunk)
    for module in model.modules():  # otherwise transformers initialises the adapters again when a ValueLM is made
        module._is_hf_initialized = True  # type: ignore[assignment]
    if config.embeddings:
        for module in (model.get_output_embeddings(), *(trunk.get_input_embeddings() for trunk in trunks)):
            module.requires_grad_(True)
    for target in trunks[2:]:
        target.requires_grad_(False)


def copy_of(model: nn.Module) -> Any:
    """A copy that shares the frozen weights and has its own copy of all others."""
    return copy.deepcopy(model, {id(p): p for p in model.parameters() if not p.requires_grad})


def merged(model: PreTrainedModel) -> PreTrainedModel:
    """A copy whose adapters are added to its weights. It shares no weights, and all but targets are trainable."""
    from peft.tuners.lora import LoraLayer

    plain = copy.deepcopy(model)
    trunks = _trunks(plain)
    for module in (module for trunk in trunks[1:] for module in trunk.modules()):
        for name, parameter in module.named_parameters(recurse=False):  # trunks may share a parameter
            setattr(module, name, nn.Parameter(parameter.detach().clone(), parameter.requires_grad))
    for trunk in trunks:
        adapted = [(name, module) for name, module in trunk.named_modules() if isinstance(module, LoraLayer)]
        for name, layer in adapted:
            cast(Any, layer).merge()
            trunk.set_submodule(name, layer.get_base_layer())
    join(plain)
    for part in (plain.get_output_embeddings(), *trunks[:2]):  # not targets
        part.requires_grad_(True)
    return plain


def constant(network: nn.Module) -> set[str]:
    """The names of the weights that adapters leave frozen, in a model or in a network that holds one as ``lm``."""
    lm = getattr(network, "lm", network)
    if not hasattr(getattr(lm, "base_model", None), "peft_config"):  # peft's mark
        return set()
    frozen = {id(p) for p in lm.parameters() if not p.requires_grad}
    return {name for name, tensor in network.state_dict(keep_vars=True).items() if id(tensor) in frozen}


def changing(network: nn.Module) -> dict[str, torch.Tensor]:
    """The tensors that training can change, without those that adapters leave frozen; tied weights appear once."""
    tensors, left_out = network.state_dict(keep_vars=True), constant(network)
    named = {id(tensors[name]): name for name in sorted(tensors, reverse=True)}
    return {name: tensors[name].detach().contiguous() for name in sorted(named.values()) if name not in left_out}


def checksum(model: PreTrainedModel) -> int:
    """A checksum of the weights that adapters leave frozen; the same on every device."""
    weights = model.state_dict()
    return sum_of(weights[name] for name in sorted(constant(model)))


def sum_of(tensors: Iterable[torch.Tensor]) -> int:
    """A checksum of tensors that depends on their order; the same on every device."""
    integer = {2: torch.int16, 4: torch.int32, 8: torch.int64}
    views = (x.contiguous().view(integer[x.element_size()]) for x in tensors)
    return sum(i * int(x.sum(dtype=torch.int64)) for i, x in enumerate(views, 1))


def _trunks(model: PreTrainedModel) -> list[PreTrainedModel]:
    """The transformers below the heads: those of a ``ValueLM``, or the only one."""
    return getattr(model, "trunks", [model.base_model])
