"""Makes environments from a task and options; ``gymnasium.make`` and ``gymnasium.make_vec`` call these functions."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, get_type_hints

import gymnasium

from lang_envs.arguments import shown, typed
from lang_envs.corpora.by_name import is_downloaded
from lang_envs.misspelt import hint
from lang_envs.plugins import asked, imported
from lang_envs.task import Task
from lang_envs.token_env import TokenEnv
from lang_envs.utterance_env import UtteranceEnv
from lang_envs.vector import TokenVectorEnv

TaskLike = Task[Any] | type[Task[Any]] | str
NAMED_CODE = re.compile(r"([A-Za-z_][\w.]*):([A-Za-z_]\w*)")
"""``module:name`` of a function"""
CODE_OPTIONS: dict[str, Callable[[str], object]] = {"task": bool, "reward": NAMED_CODE.fullmatch}
"""options whose text may name code that is imported, and the pattern of such texts"""


def make_env(*, task: TaskLike, level: str = "token", **options: Any) -> TokenEnv | UtteranceEnv:
    """Builds an environment.

    Args:
        task: a task, its class, or "module:Class", as in the registration of an environment.
        level: "token" for :class:`TokenEnv`, "utterance" for :class:`UtteranceEnv`.
        **options: options of the environment (tokenizer, max_tokens, render_mode, markup), options of the task, and
            ``instruction``: whether the task's instruction is the system message, or another text for it.

    Raises:
        ValueError: the level is unknown.
        TypeError: an option is unknown; the message names the nearest one.
    """
    levels: dict[str, type[TokenEnv] | type[UtteranceEnv]] = {"token": TokenEnv, "utterance": UtteranceEnv}
    if not isinstance(level, str) or level not in levels:
        raise ValueError(f"level must be 'token' or 'utterance', got {shown(level)}")
    made, own = _make_task(task, options, own_options=("tokenizer", "max_tokens", "render_mode", "markup"))
    return levels[level](made, **own)


def make_vec_env(*, task: TaskLike, num_envs: int, level: str = "token", **options: Any) -> TokenVectorEnv:
    """Builds a :class:`TokenVectorEnv`.

    Args:
        task: a task, its class, or "module:Class", as in the registration of an environment.
        num_envs: the number of episodes at once.
        level: only "token"; gymnasium's own vector environments support the utterance level.
        **options: options of :class:`TokenVectorEnv` and of the task.

    Raises:
        ValueError: the level is another one.
        TypeError: an option is unknown; the message names the nearest one.
    """
    if not isinstance(level, str) or level != "token":
        raise ValueError(f"TokenVectorEnv has level 'token' only, got {shown(level)}; pass vectorization_mode='sync'")
    names = ("tokenizer", "max_tokens", "autoreset_mode", "copy", "max_episode_steps", "render_mode", "markup")
    made, own = _make_task(task, options, own_options=names)
    return TokenVectorEnv(made, num_envs, **own)


def language_vec(env_id: str, num_envs: int, **options: Any) -> TokenVectorEnv:
    """``gymnasium.make_vec`` for the ids of language environments.

    Raises:
        ValueError: the id is not registered, or not that of a language environment.
    """
    try:
        env = gymnasium.make_vec(env_id, num_envs, **options)
    except (gymnasium.error.Error, ImportError) as error:
        raise ValueError(f"{env_id!r} cannot be made: {error}") from None
    if not isinstance(env, TokenVectorEnv):
        raise ValueError(f"expected the id of a language environment (Wordle-v0, MovieReview-v0 ...), got {env_id!r}")
    return env


def utterance_env(env_id: str, **options: Any) -> UtteranceEnv:
    """``gymnasium.make`` at the utterance level for the ids of language environments, without wrappers.

    Raises:
        ValueError: the id is not registered, or not that of a language environment.
    """
    try:
        spec = gymnasium.spec(env_id.rpartition(":")[2])  # the module of MODULE:ID is imported at this point
    except (gymnasium.error.Error, ImportError) as error:
        raise ValueError(f"{env_id!r} cannot be made: {error}") from None
    if spec.entry_point not in (make_env, "lang_envs.make:make_env"):
        raise ValueError(f"expected the id of a language environment (Wordle-v0, MovieReview-v0 ...), got {env_id!r}")
    env: Any = gymnasium.make(env_id, **{**options, "level": "utterance"}).unwrapped
    return env


def of_file(env_id: str, options: dict[str, Any], where: str) -> tuple[str, dict[str, Any]]:
    """Checks an environment that a file names (a data set, a run, a suite), so that a file never imports code.

    Gymnasium imports the module of an id ``module:Id-v0``, and the options in ``CODE_OPTIONS`` may name a module too. A
    file may name a module only if it is imported already, because the program or the command line asked for it.

    Args:
        env_id: the id in the file.
        options: the options of the environment in the file.
        where: the name of the file, for errors.

    Returns:
        The id and the options to make the environment with; a registered id is returned without its module.

    Raises:
        ValueError: the module is not imported; the message names it and says how to ask for it.
    """
    if not isinstance(env_id, str) or not isinstance(options, dict):
        raise ValueError(f"{where}: expected the id of an environment and its options, got {env_id!r} and {options!r}")
    module, _, own = env_id.rpartition(":")
    if module and module not in sys.modules:
        env_id = own if own in gymnasium.registry else asked(env_id, where)
    usual = gymnasium.registry[own].kwargs if own in gymnasium.registry else {}
    for option, is_code in CODE_OPTIONS.items():
        named = options.get(option)
        if isinstance(named, str) and named != usual.get(option) and is_code(named):
            asked(named, where)
    return env_id, options


def _make_task(task: TaskLike, options: dict[str, Any], own_options: Sequence[str]) -> tuple[Task[Any], dict[str, Any]]:
    """The task, made with its own options, and the other options, which are the environment's."""
    if not isinstance(task, (Task, type, str)):
        raise TypeError(f"task must be a task, its class, or where to find that, got {task!r}")
    own = {name: value for name, value in options.items() if name in own_options}
    rest = {name: value for name, value in options.items() if name not in own_options}
    if isinstance(task, Task):
        if rest:
            raise TypeError(f"the task is already made; give it {sorted(rest)} where that happens")
        return task, own
    make: type[Task[Any]] = _find(task) if isinstance(task, str) else task
    parameters, hints = inspect.signature(make).parameters, _hints(make)
    known = list(parameters)
    instructed = "instruction" in rest and "instruction" not in known  # a task may have an option of that name
    told = rest.pop("instruction") if instructed else None
    for option in rest:
        if option not in known:
            known = sorted({*known, *own_options, "instruction", "level"})
            raise TypeError(f"{make.__name__} has no option {option!r}; {hint(option, known)}")
    for name, parameter in parameters.items():
        needed = parameter.default is parameter.empty and parameter.kind is parameter.POSITIONAL_OR_KEYWORD
        if needed and name not in rest:
            raise TypeError(f"{make.__name__} needs the option {name!r}, which has no default: pass {name}=...")
    checked = {k: typed(v, hints[k], f"{make.__name__}'s {k}") if k in hints else v for k, v in rest.items()}
    made = make(**checked)
    if instructed:
        _instruct(made, told)
    return made, own


def _instruct(task: Task[Any], instruction: Any) -> None:
    """Sets a task's instruction (a text), or sets whether its own is the system message (True or False)."""
    if isinstance(instruction, str):
        task.instruction = instruction
    task.instructs = bool(typed(instruction, bool | str, "instruction"))


def _hints(make: type[Task[Any]]) -> dict[str, Any]:
    """The annotations of the options; empty if they use names that only type checkers import."""
    try:
        return get_type_hints(make.__init__)
    except NameError:
        return {}


def task_class(env_id: str) -> type[Task[Any]] | None:
    """The class of a registered environment's task, without making a task; None for an environment of another kind.

    Raises:
        ValueError: the class cannot be imported.
    """
    task = gymnasium.registry[env_id].kwargs.get("task")
    if isinstance(task, Task):
        return type(task)
    return _find(task) if isinstance(task, str) else task


def needed_options(env_id: str) -> tuple[str, ...]:
    """The options without which a registered environment cannot be made.

    They are the task's options without a default, and ``path`` if the corpus that the task needs is not downloaded.
    """
    found, given = task_class(env_id), gymnasium.registry[env_id].kwargs
    if found is None or isinstance(given["task"], Task):
        return ()
    if found.needs_corpus is not None and "path" not in given and not is_downloaded(*found.needs_corpus):
        return ("path",)
    options = inspect.signature(found).parameters.values()
    named = (option for option in options if option.kind in (option.POSITIONAL_OR_KEYWORD, option.KEYWORD_ONLY))
    return tuple(option.name for option in named if option.default is option.empty and option.name not in given)


def _find(task: str) -> type[Task[Any]]:
    """The class at "module:Class". A name from a file must have passed :func:`of_file` before.

    Raises:
        ValueError: there is no such subclass of Task.
    """
    module, _, name = task.partition(":")
    found = getattr(imported(module), name, None)
    if not (isinstance(found, type) and issubclass(found, Task)):
        raise ValueError(f"expected the task as 'module:Class', a subclass of Task, got {task!r}")
    return found
