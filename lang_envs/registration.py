"""Registers tasks under ids for ``gymnasium.make`` and ``gymnasium.make_vec``."""

from __future__ import annotations

import warnings
from typing import Any

import gymnasium

from lang_envs.plugins import offered


def register(id: str, *, task: str, **options: Any) -> None:
    """Registers an environment with gymnasium. A second call with the same arguments changes nothing.

    Args:
        id: the id, such as "Waiter-v0".
        task: the place of the task's class, "module:Class"; a text, so that other processes can make the task too.
        **options: defaults for options of the environment and of the task.

    Raises:
        gymnasium.error.Error: the id does not consist of a name and a version.
    """
    kwargs = {"task": task, **options}
    if id in gymnasium.registry and gymnasium.registry[id].kwargs == kwargs:
        return
    gymnasium.register(
        id,
        entry_point="lang_envs.make:make_env",
        vector_entry_point="lang_envs.make:make_vec_env",
        order_enforce=False,  # the environments themselves refuse a step before reset
        disable_env_checker=True,  # it costs time in every step, and check_env makes the same checks
        kwargs=kwargs,
    )


def register_offered() -> None:
    """Registers the tasks of installed packages; each is imported when an environment of it is made."""
    for id, entry in offered("tasks").items():
        try:
            if id not in gymnasium.registry:
                register(id, task=entry.value)
        except gymnasium.error.Error as error:  # a mistake in another package must not stop this one
            warnings.warn(f"the task {entry.value!r} of an installed package has no id: {error}", stacklevel=2)
