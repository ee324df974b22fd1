"""What ``gymnasium.make`` and ``gymnasium.make_vec`` call: a task's name and options in, an environment out."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium

from lang_envs.envs import TokenEnv, UtteranceEnv
from lang_envs.misspelt import hint
from lang_envs.task import Task
from lang_envs.vector import TokenVectorEnv

TaskLike = Task[Any] | type[Task[Any]] | str


def make_env(*, task: TaskLike, level: str = "token", **options: Any) -> TokenEnv | UtteranceEnv:
    """Builds an environment.

    Args:
        task: a task, its class, or where to find it ("module:Class").
        level: "token" for :class:`TokenEnv`, "utterance" for :class:`UtteranceEnv`.
        **options: of the environment (tokenizer, max_tokens, render_mode) and of the task.

    Raises:
        ValueError: for an unknown level.
        TypeError: for an unknown option, naming the nearest one.
    """
    levels: dict[str, type[TokenEnv] | type[UtteranceEnv]] = {"token": TokenEnv, "utterance": UtteranceEnv}
    if level not in levels:
        raise ValueError(f"level must be 'token' or 'utterance', got {level!r}")
    made, own = _make_task(task, options, own_options=("tokenizer", "max_tokens", "render_mode"))
    return levels[level](made, **own)


def make_vec_env(*, task: TaskLike, num_envs: int, level: str = "token", **options: Any) -> TokenVectorEnv:
    """Builds a :class:`TokenVectorEnv`.

    Args:
        task: a task, its class, or where to find it ("module:Class").
        num_envs: how many episodes at once.
        level: only "token"; gymnasium's own vector environments serve the utterance level.
        **options: of :class:`TokenVectorEnv` and of the task.

    Raises:
        ValueError: for another level.
        TypeError: for an unknown option, naming the nearest one.
    """
    if level != "token":
        raise ValueError(f"TokenVectorEnv has level 'token' only, got {level!r}; pass vectorization_mode='sync'")
    names = ("tokenizer", "max_tokens", "autoreset_mode", "copy", "max_episode_steps", "render_mode")
    made, own = _make_task(task, options, own_options=names)
    return TokenVectorEnv(made, num_envs, **own)


def language_vec(env_id: str, num_envs: int, **options: Any) -> TokenVectorEnv:
    """``gymnasium.make_vec`` for the ids that are language environments.

    Raises:
        ValueError: for an id of another kind, or one that nobody registered; for an option that chooses the task.
    """
    check_options(env_id, options)
    try:
        env = gymnasium.make_vec(env_id, num_envs, **options)
    except (gymnasium.error.Error, ImportError) as error:
        raise ValueError(f"{env_id!r} cannot be made: {error}") from None
    if not isinstance(env, TokenVectorEnv):
        raise ValueError(f"expected the id of a language environment (Wordle-v0, MovieReview-v0 ...), got {env_id!r}")
    return env


def check_options(env_id: str, options: Mapping[str, Any]) -> None:
    """Refuses an option that names another class to import than the id does: options come out of files.

    Raises:
        ValueError: saying so.
    """
    spec = gymnasium.registry.get(env_id)
    if "task" in options and (":" in str(env_id) if spec is None else spec.kwargs.get("task") != options["task"]):
        raise ValueError(f"the id {env_id!r} says which task it has: leave out the option task={options['task']!r}")


def _make_task(task: TaskLike, options: dict[str, Any], own_options: Sequence[str]) -> tuple[Task[Any], dict[str, Any]]:
    """The task made from its share of the options, and the rest: the environment's own."""
    if not isinstance(task, (Task, type, str)):
        raise TypeError(f"task must be a task, its class, or where to find that, got {task!r}")
    own = {name: value for name, value in options.items() if name in own_options}
    rest = {name: value for name, value in options.items() if name not in own_options}
    if isinstance(task, Task):
        if rest:
            raise TypeError(f"the task is already made; give it {sorted(rest)} where that happens")
        return task, own
    make: type[Task[Any]] = _find(task) if isinstance(task, str) else task
    known = list(inspect.signature(make).parameters)
    for option in rest:
        if option not in known:
            known = sorted({*known, *own_options, "level"})
            raise TypeError(f"{make.__name__} has no option {option!r}; {hint(option, known)}")
    return make(**rest), own


def _find(task: str) -> type[Task[Any]]:
    """The class at "module:Class".

    Raises:
        TypeError: there is something else.
    """
    module, _, name = task.partition(":")
    found = getattr(importlib.import_module(module), name, None)
    if not (isinstance(found, type) and issubclass(found, Task)):
        raise TypeError(f"expected a task at {task!r}, its class as module:Class, got {found!r}")
    return found
