"""Writes and reads the folder of a saved agent: ``agent.json``, the language model and the tokenizer.

Checksums of all files are written last (``datasets_builders.checksums``) and compared before any library reads a file.
Folders of earlier versions have no checksums. A damaged file in them raises a ``ValueError`` too.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from torch import nn
from transformers import AutoModelForCausalLM, PreTrainedModel

from agents.models.adapter_files import REFERENCE, holds_adapters, read_adapters, read_start, write_adapters
from agents.models.lm import LM
from agents.models.lora import LoRAConfig, add_adapters, merged
from agents.models.precision import round_weights
from agents.models.speaking import put_back, speaking
from datasets_builders.atomic import read_object
from datasets_builders.checksums import verify
from datasets_builders.claim import Claim
from datasets_builders.fields import typed
from datasets_builders.folders import WAIT, replacing_folder
from lang_envs.adoption import adopt
from lang_envs.pretrained import Precision, load_model, load_tokenizer

FORMAT_VERSION = 1
DESCRIPTION = "agent.json"


@dataclass
class Description:
    """What ``agent.json`` holds."""

    format_version: int
    algorithm: str
    """the ``name`` of the algorithm's class"""
    config: dict[str, Any]
    """the algorithm's settings"""
    step: int
    """optimiser steps made"""
    max_utterance_tokens: int
    """the limit of the environment in which it was trained"""
    lora: dict[str, Any] | None = None
    """settings of its adapters (``LoRAConfig``), or None without adapters"""
    fit: dict[str, Any] | None = None
    """settings of its last training (``FitConfig``), or None before any"""
    decoding: dict[str, Any] | None = None
    """arguments of ``policy`` that were chosen after training, or None"""
    dtype: Precision = "fp32"
    """precision of the weights in training"""
    versions: dict[str, str] = field(default_factory=dict)
    """versions of libraries"""
    home: str = ""
    """place of the algorithm's class as "module:Class", empty for the algorithms of this package"""

    def __post_init__(self) -> None:
        for name, least in (("step", 0), ("max_utterance_tokens", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, not {getattr(self, name)}.")


def write_agent(
    folder: Path, saved: Description, lm: LM, model: PreTrainedModel, reference: PreTrainedModel | None, merge: bool
) -> None:
    """Writes an agent, which replaces one that was saved there before; see ``Agent.save``.

    Args:
        folder: the folder to create, or to replace if it holds an agent.
        saved: the content of ``agent.json``.
        lm: holds the agent's tokenizer, the settings of its adapters, and their base model.
        model: the trained model.
        reference: the algorithm's frozen copy of the start model, or None.
        merge: whether adapters are added to the weights.

    Raises:
        ValueError: the folder holds something else than an agent.
    """
    with Claim(folder, wait=WAIT):
        if folder.exists() and any(folder.iterdir()) and not (folder / DESCRIPTION).exists():
            raise ValueError(f"{folder} is not empty and holds no agent. Choose another folder to save to.")
        with replacing_folder(folder) as new:
            if lm.lora is not None and lm.origin is not None and not merge:
                write_adapters(new, model, lm.origin, lm.lora, reference)
            else:
                for part, where, decoding in ((model, new, saved.decoding), (reference, new / REFERENCE, None)):
                    if part is not None:
                        whole = merged(part) if lm.lora else part
                        with speaking(whole, decoding):
                            whole.save_pretrained(where)
            lm.tokenizer.save_pretrained(new)
            (new / DESCRIPTION).write_text(json.dumps(_plain(saved), indent=2))


def _plain(saved: Description) -> dict[str, Any]:
    """The description as JSON-able values, without ``home`` if that is empty."""
    return {name: value for name, value in dataclasses.asdict(saved).items() if (name, value) != ("home", "")}


def read_description(folder: Path) -> Description:
    """The content of a folder's ``agent.json``, after all files were compared with their checksums.

    Raises:
        ValueError: the folder holds no agent, or a damaged one, or one of another format.
    """
    file = folder / DESCRIPTION
    if not file.exists():
        raise ValueError(f"{folder} holds no saved agent: there is no {file}.")
    verify(folder)
    found = read_object(file)
    if (version := found.get("format_version")) != FORMAT_VERSION:
        raise ValueError(
            f"{folder} was saved in format {version}, and this version reads {FORMAT_VERSION}. "
            "Save it again with the version it was written by, or update."
        )
    return typed(Description, found, file)


def read_lm(folder: Path, saved: Description, dtype: Precision) -> LM:
    """The language model of a saved agent, with its adapters if it was trained with adapters.

    If the adapters were merged into the weights, the model gets new ones that do not change its distribution.

    Raises:
        ValueError: a file is damaged, or model and tokenizer do not fit.
    """
    tokenizer = adopt(load_tokenizer(folder, plain=True))
    origin, lora = None, None if saved.lora is None else typed(LoRAConfig, saved.lora, folder / DESCRIPTION)
    if holds_adapters(folder):
        model, lora, origin = read_adapters(folder, dtype)
    else:
        model = load_model(AutoModelForCausalLM, folder, exact=True)
        put_back(model)
    embeddings = cast(nn.Embedding, model.get_input_embeddings()).num_embeddings
    last = max(tokenizer.get_vocab().values())
    if last >= embeddings:
        raise ValueError(f"{folder}: the tokenizer has a token {last}, and the model has embeddings of {embeddings}.")
    if lora is not None and origin is None:
        add_adapters(model, lora)
    round_weights(model, dtype)
    return LM(model, tokenizer, saved.max_utterance_tokens, lora, origin)


def read_reference(folder: Path, model: PreTrainedModel, dtype: Precision) -> PreTrainedModel | None:
    """The frozen reference of a saved agent, or None; with adapters it shares the frozen weights of ``model``."""
    if holds_adapters(folder):
        return read_start(folder, model)
    if not (folder / REFERENCE).is_dir():
        return None
    start = load_model(AutoModelForCausalLM, folder / REFERENCE, exact=True)
    round_weights(start, dtype)
    return start.eval().requires_grad_(False)


@contextmanager
def opening(folder: Path) -> Iterator[None]:
    """Turns any error in the block into a ``ValueError`` that names the folder.

    Raises:
        ValueError: the block failed.
    """
    try:
        yield
    except (ValueError, TypeError, AttributeError, KeyError, IndexError, RuntimeError) as error:
        if isinstance(error, ValueError) and str(folder) in str(error):
            raise
        raise ValueError(f"The agent in {folder} cannot be opened: {error}") from error
