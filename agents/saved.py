"""A saved agent's folder: what ``agent.json`` holds, and the language model beside it, read with care.

Checksums of all files were written last (``datasets_builders.checksums``) and are compared before any library reads a
file. Folders of earlier versions have none: whatever in them cannot be read is refused in words all the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from torch import nn
from transformers import AutoModelForCausalLM, PreTrainedModel

from agents.models.lm import LM
from agents.models.lora import LoRAConfig, add_adapters
from agents.models.speaking import put_back
from datasets_builders.atomic import read_object
from datasets_builders.checksums import verify
from datasets_builders.fields import typed
from lang_envs.pretrained import load_model, load_tokenizer
from lang_envs.tokenizers import adopt

FORMAT_VERSION = 1
DESCRIPTION = "agent.json"


@dataclass
class Description:
    """What ``agent.json`` holds."""

    format_version: int
    algorithm: str
    """a name in ``AGENTS``"""
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
    versions: dict[str, str] = field(default_factory=dict)
    """of libraries"""

    def __post_init__(self) -> None:
        for name, least in (("step", 0), ("max_utterance_tokens", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, not {getattr(self, name)}.")


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


def read_lm(folder: Path, saved: Description) -> LM:
    """The language model of a saved agent, with new adapters where it was trained by any.

    Raises:
        ValueError: it is damaged, or its parts do not belong together.
    """
    model = load_model(AutoModelForCausalLM, folder, exact=True)
    put_back(model)
    lm = LM(
        model=model,
        tokenizer=adopt(load_tokenizer(folder, plain=True)),
        max_utterance_tokens=saved.max_utterance_tokens,
        lora=None if saved.lora is None else typed(LoRAConfig, saved.lora, folder / DESCRIPTION),
    )
    embeddings = cast(nn.Embedding, lm.model.get_input_embeddings()).num_embeddings
    last = max(lm.tokenizer.get_vocab().values())
    if last >= embeddings:
        raise ValueError(f"{folder}: the tokenizer has a token {last}, and the model has embeddings of {embeddings}.")
    if lm.lora is not None:
        add_adapters(lm.model, lm.lora)
    return lm


def read_reference(folder: Path) -> PreTrainedModel | None:
    """The frozen model beside a saved agent, where there is one."""
    start = folder / "reference"
    if not start.is_dir():
        return None
    return load_model(AutoModelForCausalLM, start, exact=True).eval().requires_grad_(False)


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
