"""Where an episode starts: at a starting point that was asked for by its number, or at any."""

from __future__ import annotations

from typing import Any

import numpy as np

from lang_envs.arguments import shown, whole_number
from lang_envs.conversation import Conversation
from lang_envs.task import Task


def begin(task: Task[Any], rng: np.random.Generator, context: int | None) -> tuple[Any, str | Conversation]:
    """The initial state and the opening observation, from a starting point that was checked, or from any."""
    return task.begin(rng) if context is None else task.begin_at(context, rng)


def check_context(task: Task[Any], context: Any) -> int | None:
    """A starting point of the task's as an int; None where any will do.

    Raises:
        ValueError: where the task has no such starting point.
        TypeError: where it is no integer.
    """
    if context is None:
        return None
    context, name = whole_number(context, "a context"), type(task).__name__
    if task.num_contexts is None:
        raise ValueError(f"{name} has no contexts to choose from, but context {shown(context)} was asked for")
    if not 0 <= context < task.num_contexts:
        raise ValueError(f"context {shown(context)} is out of range: {name} has {task.num_contexts}, from 0")
    return context
