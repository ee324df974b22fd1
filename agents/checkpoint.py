"""Checkpoints of a training run: whole or not there at all, safetensors and JSON only."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, load_model, save_file, save_model
from torch import Tensor, nn

KEPT = 2
FORMAT_VERSION = 1
MODEL, OPTIMIZER, STATE = "model.safetensors", "optimizer.safetensors", "state.json"


def save(folder: Path, step: int, model: nn.Module, optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> Path:
    """Writes ``folder/step-<step>`` under another name, renames it when it is whole, and keeps the newest two.

    ``state`` is JSON-able. Beside it go the weights, the optimiser's moments and the states of torch's generators.
    """
    final = folder / f"step-{step:09d}"
    partial = folder / f"{final.name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    save_model(model, str(partial / MODEL))  # knows about weights that are shared
    save_file(_moments(model, optimizer) | _generators(), partial / OPTIMIZER)
    sums = {name: _sum(partial / name) for name in (MODEL, OPTIMIZER)}
    state = {"format_version": FORMAT_VERSION, "step": step, "sha256": sums, **state}
    (partial / STATE).write_text(json.dumps(state, indent=2))
    os.replace(partial, final)
    for old in _whole(folder)[:-KEPT]:
        shutil.rmtree(old)
    return final


def newest(folder: Path) -> Path | None:
    """The newest checkpoint; what an interrupted ``save`` left behind does not count."""
    return next(reversed(_whole(folder)), None)


def read_state(checkpoint: Path) -> dict[str, Any]:
    """The JSON-able part of a checkpoint.

    Raises:
        ValueError: if a file is missing or not what was written.
    """
    try:
        state = json.loads((checkpoint / STATE).read_text())
        format_version, sums = state["format_version"], state["sha256"]
        wrong = [name for name in (MODEL, OPTIMIZER) if _sum(checkpoint / name) != sums[name]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(_damaged(checkpoint, str(error))) from None
    if wrong:
        raise ValueError(_damaged(checkpoint, f"{' and '.join(wrong)} changed after it was written"))
    if format_version != FORMAT_VERSION:
        raise ValueError(
            f"The checkpoint {checkpoint} has format {format_version}, and this version reads {FORMAT_VERSION}."
        )
    return state


def check_same_run(checkpoint: Path, theirs: dict[str, dict[str, Any]], ours: dict[str, dict[str, Any]]) -> None:
    """Compares the settings a checkpoint was made with and those of the run that wants to continue it.

    Raises:
        ValueError: naming the settings that differ.
    """
    differ = [
        f"{part}.{name} is {theirs[part].get(name)!r} there and {ours[part].get(name)!r} here"
        for part in ours
        for name in sorted(theirs[part].keys() | ours[part].keys())
        if theirs[part].get(name) != ours[part].get(name)
    ]
    if differ:
        raise ValueError(
            f"The checkpoint {checkpoint} is of another run: {'; '.join(differ)}. Use another folder, or delete "
            f"{checkpoint.parent}."
        )


def load(checkpoint: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Puts the tensors of a checkpoint back where they were.

    Raises:
        ValueError: if they do not fit the model.
    """
    try:
        load_model(model, str(checkpoint / MODEL))
    except RuntimeError as error:
        raise ValueError(f"The checkpoint {checkpoint} belongs to another model: {error}") from None
    tensors = load_file(checkpoint / OPTIMIZER)
    torch.set_rng_state(tensors.pop("generator/cpu"))
    for device in range(torch.cuda.device_count()):
        if (generator := tensors.pop(f"generator/cuda:{device}", None)) is not None:
            torch.cuda.set_rng_state(generator, device)
    for name, parameter in model.named_parameters():
        keys = [key for key in tensors if key.startswith(f"{name}/")]
        if (
            keys
        ):  # the step count stays on the processor unless the fused kernel wants it elsewhere: load_state_dict knows
            optimizer.state[parameter] = {key.removeprefix(f"{name}/"): tensors[key] for key in keys}
    optimizer.load_state_dict(optimizer.state_dict())


def _moments(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """``<parameter>/<moment>`` -> tensor."""
    return {
        f"{name}/{moment}": tensor.contiguous()
        for name, parameter in model.named_parameters()
        for moment, tensor in optimizer.state.get(parameter, {}).items()
    }


def _generators() -> dict[str, Tensor]:
    """The states of torch's generators, uint8; dropout draws from them."""
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    return {"generator/cpu": torch.get_rng_state()} | {f"generator/cuda:{i}": state for i, state in enumerate(cuda)}


def _whole(folder: Path) -> list[Path]:
    """Checkpoints, oldest first."""
    return sorted(path for path in folder.glob("step-*") if path.name.removeprefix("step-").isdigit())


def _sum(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _damaged(checkpoint: Path, why: str) -> str:
    return f"The checkpoint {checkpoint} is damaged: {why}. Delete that folder to continue from the one before it."
