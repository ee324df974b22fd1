"""Giving a task an id that ``gymnasium.make`` and ``gymnasium.make_vec`` know."""

from __future__ import annotations

import warnings
from typing import Any

import gymnasium

from lang_envs.plugins import offered


def register(id: str, *, task: str, **options: Any) -> None:
    """Registers an environment with gymnasium; doing it again changes nothing.

    Args:
        id: such as "Waiter-v0".
        task: where its class is, "module:Class": a text, so that other processes can make it too.
        **options: of the environment and of the task, as they are by default.

    Raises:
        gymnasium.error.Error: the id is no name and version.
    """
    kwargs = {"task": task, **options}
    if id in gymnasium.registry and gymnasium.registry[id].kwargs == kwargs:
        return
    gymnasium.register(
        id,
        entry_point="lang_envs.make:make_env",
        vector_entry_point="lang_envs.make:make_vec_env",
        order_enforce=False,  # the environments themselves refuse a step before reset, in words
        disable_env_checker=True,  # and their observations cannot be others than the space has; it costs every step
        kwargs=kwargs,
    )


def register_offered() -> None:
    """Registers the tasks of installed packages; each is imported when an environment of it is made."""
    for id, entry in offered("tasks").items():
        try:
            if id not in gymnasium.registry:
                register(id, task=entry.value)
        except gymnasium.error.Error as error:  # somebody else's mistake
            warnings.warn(f"the task {entry.value!r} of an installed package has no id: {error}", stacklevel=2)
