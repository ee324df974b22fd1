"""Exports an environment as a folder that OpenEnv's commands build, validate and push."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np

import lang_envs
from lang_envs.openenv import templates
from lang_envs.openenv.environment import Splits, UtteranceEnvironment
from lang_envs.task import Task

PORT = 8000
"""the port at which OpenEnv's validation looks for the server"""
_ANY = (float(np.finfo(np.float32).min), float(np.finfo(np.float32).max))  # the rewards that a record can hold


def export(env_id: str, out: str | os.PathLike[str], **options: Any) -> Path:
    """Writes the folder: openenv.yaml, a plan of one episode, models, client, server, Dockerfile, README.

    Args:
        env_id: a registered id.
        out: a new or empty folder.
        **options: options of the environment; they are written into the server, so they must fit in JSON.

    Raises:
        ValueError: the environment cannot be made, or an option does not fit in JSON.
        OSError: the folder is not empty, or cannot be written.
    """
    folder = Path(out)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"{folder} holds something already: expected a new folder or an empty one")
    for name, text in files(env_id, **options).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def files(env_id: str, **options: Any) -> dict[str, str]:
    """The text of each file by its path in the folder.

    Raises:
        ValueError: as :func:`export`.
    """
    try:
        json.dumps(options, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"the options must fit in JSON, to be written into the server: {error}") from error
    splits = Splits(env_id, **options)
    task = splits.env(splits.usual).task
    fields = {
        "env_id": env_id,
        "name": re.sub(r"\W+", "_", env_id).strip("_").lower(),
        "options": "".join(f", {name}={value!r}" for name, value in options.items()),
        "version": lang_envs.__version__,
        "port": str(PORT),
        "instruction": task.instruction or "The environment says what is to be done.",
        "manifest": json.dumps(_manifest(splits, task), indent=2),
        "plan": json.dumps(_plan(task), indent=2),
    }
    return {path: _filled(text, fields) for path, text in templates.FILES.items()}


def _filled(template: str, fields: dict[str, str]) -> str:
    return re.sub(r"@(\w+)@", lambda found: fields[found[1]], template)


def _manifest(splits: Splits, task: Task[Any]) -> dict[str, Any]:
    """The value of ``validation`` in openenv.yaml; it is written as JSON, which is valid YAML."""
    low, high = task.reward_range or _ANY
    session = UtteranceEnvironment(splits)
    return {
        "reward": {"range": [low, high], "oracle_tolerance": 0.0, "floor_margin": 0.1},
        "resources": {"cpu": 1.0, "memory_mb": 2048, "disk_mb": 1024, "episode_timeout_s": 60.0},
        "capabilities": {
            "verifier": {"kind": "reward_channel"},
            "task_api": task.num_contexts is not None,
            "declared_task_count": {name: session.num_tasks(name) for name in session.list_splits()},
        },
        "types": {"tags": ["language"]},
        "execution": {"probe_path": "validation/runtime.json"},
    }


def _plan(task: Task[Any]) -> dict[str, Any]:
    """The plan of one episode for the runtime checks: the agent repeats one word until the episode ends."""
    return {
        "plan_schema_version": "1",
        "reset": {"seed": 0, "episode_id": "validation"},
        "actions": [{"message": "hello"}] * min(task.max_turns, 100),
    }
