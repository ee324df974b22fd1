"""Checkpoints of a training run. Each is written atomically, as safetensors and JSON only."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from agents.distributed import processes
from agents.distributed.parallel import collected, like
from agents.models.lora import changing
from datasets_builders.atomic import read_object
from datasets_builders.checksums import verify
from datasets_builders.fields import typed
from datasets_builders.folders import replacing_folder

KEPT = 2
FORMAT_VERSION = 3
MODEL, OPTIMIZER, STATE = "model.safetensors", "optimizer.safetensors", "state.json"


def save(folder: Path, step: int, model: nn.Module, optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> Path:
    """Writes ``folder/step-<step>`` under another name, renames it when it is complete, and keeps the newest two.

    A checkpoint holds ``state``, which is JSON-able, the weights, the optimiser's moments and the states of torch's
    generators. Where several processes train, all of them call it together, and the first writes. The files do not
    depend on the number of processes, except for the generators: every process has its own.
    """
    weights = collected(changing(model).items())
    training = collected(_moments(model, optimizer)) | _generators(model)
    return processes.first_does(lambda: _write(folder, step, weights, training, state))


def _write(
    folder: Path, step: int, weights: dict[str, Tensor], training: dict[str, Tensor], state: dict[str, Any]
) -> Path:
    final = folder / f"step-{step:09d}"
    with replacing_folder(final) as new:
        save_file(weights, new / MODEL)
        save_file(training, new / OPTIMIZER)
        (new / STATE).write_text(json.dumps({"format_version": FORMAT_VERSION, "step": step, **state}, indent=2))
    for old in _whole(folder)[:-KEPT]:
        shutil.rmtree(old)
    return final


def newest(folder: Path) -> Path | None:
    """The newest complete checkpoint, or None; the folder of an interrupted ``save`` does not count."""
    return next(reversed(_whole(folder)), None)


@dataclass
class State:
    """The JSON-able part of a checkpoint."""

    format_version: int
    step: int
    agent_step: int
    source: dict[str, Any]
    window: list[dict[str, Any]]
    run: dict[str, dict[str, Any]]
    sha256: dict[str, str] = field(default_factory=dict)
    """checksums, in checkpoints of earlier versions"""


def read_state(checkpoint: Path) -> State:
    """The JSON-able part of a checkpoint.

    Raises:
        ValueError: if a file is missing or damaged, or if the checkpoint has another format version.
    """
    with told_as_damage(checkpoint):
        verify(checkpoint)
        found = read_object(checkpoint / STATE)
        format_version = found["format_version"]
    if format_version != FORMAT_VERSION:
        raise ValueError(
            f"The checkpoint {checkpoint} has format {format_version}, and this version reads {FORMAT_VERSION}."
        )
    with told_as_damage(checkpoint):
        return typed(State, found, checkpoint / STATE)


@contextmanager
def told_as_damage(checkpoint: Path) -> Iterator[None]:
    """Turns any error in the block into one that says that the checkpoint is damaged, and what to do.

    Raises:
        ValueError: the block failed.
    """
    try:
        yield
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise ValueError(
            f"The checkpoint {checkpoint} is damaged: {error}. Delete that folder to continue from the one before it."
        ) from error


def check_same_run(checkpoint: Path, theirs: dict[str, dict[str, Any]], ours: dict[str, dict[str, Any]]) -> None:
    """Compares the settings of the run that wrote a checkpoint with those of the run that continues it.

    Raises:
        ValueError: naming the settings that differ.
    """
    differ = [
        f"{part}.{name} is {theirs.get(part, {}).get(name)!r} there and {ours[part].get(name)!r} here"
        for part in ours
        for name in sorted(theirs.get(part, {}).keys() | ours[part].keys())
        if theirs.get(part, {}).get(name) != ours[part].get(name)
    ]
    if differ:
        raise ValueError(
            f"The checkpoint {checkpoint} is of another run: {'; '.join(differ)}. Use another folder, or delete "
            f"{checkpoint.parent}."
        )


def load_weights(checkpoint: Path, model: nn.Module) -> None:
    """Loads the weights of a checkpoint into the model.

    Raises:
        ValueError: if they are damaged or do not fit the model.
    """
    with told_as_damage(checkpoint):
        weights = load_file(checkpoint / MODEL)
    try:
        if differ := weights.keys() ^ changing(model).keys():
            raise RuntimeError(f"{', '.join(sorted(differ))} is in one of them only.")
        model.load_state_dict(weights, strict=False)
    except RuntimeError as error:
        raise ValueError(f"The checkpoint {checkpoint} belongs to another model: {error}") from None


def load_training(checkpoint: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Loads the optimiser's moments, and the generators if the number of processes is that of the checkpoint.

    Raises:
        ValueError: if they are damaged.
    """
    with told_as_damage(checkpoint):
        _load_training(load_file(checkpoint / OPTIMIZER), model, optimizer)


def _load_training(tensors: dict[str, Tensor], model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    generators = {name: tensors.pop(name) for name in [*tensors] if name.startswith("generator/")}
    if len({name.split("/")[1] for name in generators}) == processes.count():
        ours = f"generator/{processes.rank()}"
        torch.set_rng_state(generators[f"{ours}/cpu"])
        if f"{ours}/cuda" in generators and (device := _device(model)).type == "cuda":
            torch.cuda.set_rng_state(generators[f"{ours}/cuda"], device)
    for name, parameter in model.named_parameters():
        keys = [key for key in tensors if key.startswith(f"{name}/")]
        if keys:
            optimizer.state[parameter] = {key.removeprefix(f"{name}/"): like(tensors[key], parameter) for key in keys}
    # load_state_dict moves the step count to the device that the kernel needs
    optimizer.load_state_dict(optimizer.state_dict())


def _moments(model: nn.Module, optimizer: torch.optim.Optimizer) -> Iterator[tuple[str, Tensor]]:
    """``<parameter>/<moment>`` and the tensor."""
    for name, parameter in model.named_parameters():
        for moment, tensor in optimizer.state.get(parameter, {}).items():
            yield f"{name}/{moment}", tensor


def _generators(model: nn.Module) -> dict[str, Tensor]:
    """The states of every process's torch generators, uint8; dropout draws from them."""
    states = {"cpu": torch.get_rng_state()}
    if (device := _device(model)).type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return {
        f"generator/{rank}/{kind}": state
        for rank, theirs in enumerate(processes.gathered(states))
        for kind, state in theirs.items()
    }


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


def _whole(folder: Path) -> list[Path]:
    """The complete checkpoints, oldest first."""
    return sorted(path for path in folder.glob("step-*") if path.name.removeprefix("step-").isdigit())
