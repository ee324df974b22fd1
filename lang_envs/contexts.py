"""Begins an episode at a starting point (context) of the task, given by its number or drawn."""

from __future__ import annotations

from typing import Any

import numpy as np

from lang_envs.arguments import shown, whole_number
from lang_envs.conversation import Conversation
from lang_envs.task import Task


def begin(task: Task[Any], rng: np.random.Generator, context: int | None) -> tuple[Any, str | Conversation]:
    """The initial state and the opening observation; ``context`` must be checked, and None draws a starting point."""
    return task.begin(rng) if context is None else task.begin_at(context, rng)


def check_context(task: Task[Any], context: Any) -> int | None:
    """The number of a starting point of the task as an int; None stays None.

    Raises:
        ValueError: the task has no such starting point.
        TypeError: ``context`` is not an integer.
    """
    if context is None:
        return None
    context, name = whole_number(context, "a context"), type(task).__name__
    if task.num_contexts is None:
        raise ValueError(f"{name} has no contexts to choose from, but context {shown(context)} was asked for")
    if not 0 <= context < task.num_contexts:
        raise ValueError(f"context {shown(context)} is out of range: {name} has {task.num_contexts}, from 0")
    return context
