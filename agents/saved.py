"""A saved agent's folder: what ``agent.json`` holds, and the language model beside it, written and read with care.

Checksums of all files were written last (``datasets_builders.checksums``) and are compared before any library reads a
file. Folders of earlier versions have none: whatever in them cannot be read is refused in words all the same.
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
    """the ``name`` of its class"""
    config: dict[str, Any]
    """the algorithm's settings"""
    step: int
    """optimiser steps made"""
    max_utterance_tokens: int
    """the limit of the environment it learned in"""
    lora: dict[str, Any] | None = None
    """settings of its adapters (``LoRAConfig``), where it was trained by any"""
    fit: dict[str, Any] | None = None
    """how it was trained last (``FitConfig``)"""
    decoding: dict[str, Any] | None = None
    """how it speaks, where that was chosen after training: arguments of its ``policy``"""
    dtype: Precision = "fp32"
    """of the weights it was trained with"""
    versions: dict[str, str] = field(default_factory=dict)
    """of libraries"""
    home: str = ""
    """where its class is, as "module:Class", if that is no algorithm of this package"""

    def __post_init__(self) -> None:
        for name, least in (("step", 0), ("max_utterance_tokens", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, not {getattr(self, name)}.")


def write_agent(
    folder: Path, saved: Description, lm: LM, model: PreTrainedModel, reference: PreTrainedModel | None, merge: bool
) -> None:
    """Writes an agent in the place of one that was saved there before; see ``Agent.save``.

    Args:
        folder: is made; it may hold an agent.
        saved: what ``agent.json`` will hold.
        lm: whose tokenizer, adapters and origin it has.
        model: what was trained.
        reference: what the algorithm looks back at, where it does.
        merge: whether adapters become part of the weights.

    Raises:
        ValueError: the folder holds anything else.
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
    """As JSON; of an algorithm of this package without its place."""
    return {name: value for name, value in dataclasses.asdict(saved).items() if (name, value) != ("home", "")}


def read_description(folder: Path) -> Description:
    """What a folder's ``agent.json`` holds; all files are what was written, where there are checksums.

    Raises:
        ValueError: there is no agent, it is damaged, or of another format.
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
    """The language model of a saved agent, with its adapters where it was trained by any.

    Where they were added to the weights, new ones take their place, which change nothing yet.

    Raises:
        ValueError: it is damaged, or its parts do not belong together.
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
    """The frozen language model beside a saved one, where there is one; under adapters it shares what they leave."""
    if holds_adapters(folder):
        return read_start(folder, model)
    if not (folder / REFERENCE).is_dir():
        return None
    start = load_model(AutoModelForCausalLM, folder / REFERENCE, exact=True)
    round_weights(start, dtype)
    return start.eval().requires_grad_(False)


@contextmanager
def opening(folder: Path) -> Iterator[None]:
    """Names the folder in whatever is wrong with what was read from it.

    Raises:
        ValueError: something is.
    """
    try:
        yield
    except (ValueError, TypeError, AttributeError, KeyError, IndexError, RuntimeError) as error:
        if isinstance(error, ValueError) and str(folder) in str(error):
            raise
        raise ValueError(f"The agent in {folder} cannot be opened: {error}") from error
