"""UtteranceEnvironment: one session of a server, gymnasium's utterance level as OpenEnv's ``Environment``."""

from __future__ import annotations

import copy
import html
import threading
from typing import Any
from uuid import uuid4

import numpy as np
from openenv.core.env_server.interfaces import Environment
from openenv.core.env_server.types import EnvironmentMetadata

import lang_envs
from lang_envs.arguments import shown
from lang_envs.conversation import Conversation, to_json
from lang_envs.make import utterance_env
from lang_envs.misspelt import hint
from lang_envs.openenv.models import EpisodeState, UtteranceAction, UtteranceObservation
from lang_envs.utterance_env import UtteranceEnv

WHOLE = "all"
"""the name of the only split of a task without splits"""


class Splits:
    """One environment for each split of a task, shared by all sessions, because a task holds no mutable state.

    Args:
        env_id: a registered id.
        **options: options of the environment.

    Raises:
        ValueError: the id is not that of a language environment.
    """

    def __init__(self, env_id: str, **options: Any) -> None:
        self.env_id, self._options = env_id, options
        usual = utterance_env(env_id, **options)
        task = usual.task
        self.usual: str = getattr(task, "split", WHOLE) if task.splits else WHOLE
        self.names = tuple(dict.fromkeys((self.usual, *task.splits)))
        self._envs = {self.usual: usual}
        self._lock = threading.Lock()  # each session resets in its own thread

    def env(self, split: str) -> UtteranceEnv:
        """The environment of a split. Sessions play in copies of it, not in the environment itself.

        Raises:
            TypeError: ``split`` is not a text.
            ValueError: there is no such split, or the data have none of that name.
        """
        if not isinstance(split, str):
            raise TypeError(f"a split must be a text, got {shown(split)}")
        if split not in self.names:
            raise ValueError(f"{self.env_id} has no split {shown(split)}; {hint(split, self.names)}")
        with self._lock:
            if split not in self._envs:
                self._envs[split] = utterance_env(self.env_id, **self._options | {"split": split})
            return self._envs[split]

    def size(self, split: str) -> int:
        """The number of starting points of a split.

        Raises:
            ValueError: as :meth:`env`.
            NotImplementedError: starting points are drawn freely; OpenEnv's protocol asks for this error.
        """
        count = self.env(split).task.num_contexts
        if count is None:
            raise NotImplementedError(f"the starting points of {self.env_id} are drawn freely and have no numbers")
        return count


class UtteranceEnvironment(Environment[UtteranceAction, UtteranceObservation, EpisodeState]):
    """Plays the episodes of one session; the same seed gives the same episode as ``gymnasium.make``.

    The server runs ``reset`` and ``step`` of each session in a thread of that session, so that a slow task does not
    delay other sessions. Sessions share the task, so anything that its author stores in it must be thread-safe.

    The starting points are OpenEnv's tasks: ``list_splits``, ``num_tasks``, ``get_task``, and
    ``reset(split=..., context=...)`` (or ``index=...``) begins at one.

    Args:
        splits: the environments that the sessions share.
    """

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self, splits: Splits) -> None:
        super().__init__()
        self._splits = splits
        self._envs = {splits.usual: copy.copy(splits.env(splits.usual))}  # own episodes, shared tasks
        self._env = self._envs[splits.usual]
        self._state = EpisodeState()

    def reset(
        self,
        seed: int | None = None,
        episode_id: str | None = None,
        context: int | None = None,
        split: str | None = None,
        index: int | None = None,
        **unknown: Any,
    ) -> UtteranceObservation:
        """Starts an episode; all of its randomness comes from ``seed``.

        Args:
            seed: an integer >= 0, or None.
            episode_id: the id of the episode in the state; None draws one.
            context: the number of the task's starting point, from 0; None draws one.
            split: a name of ``list_splits``; None: the split that the environment was made with.
            index: another name for ``context``, which OpenEnv's guide uses.
            **unknown: any other argument is refused.

        Raises:
            ValueError: there is no such seed, starting point or split.
            TypeError: an argument has another name or type.
        """
        if unknown:
            known = ("seed", "episode_id", "context", "split")
            raise TypeError(f"reset has no argument {next(iter(unknown))!r}; {hint(next(iter(unknown)), known)}")
        if None not in (context, index) and context != index:
            raise ValueError(f"context and index name one starting point, got {shown(context)} and {shown(index)}")
        if episode_id is not None and not isinstance(episode_id, str):
            raise TypeError(f"episode_id must be a text, got {shown(episode_id)}")
        context = index if context is None else context
        split = self._splits.usual if split is None else split
        shared = self._splits.env(split)
        self._env = env = self._envs.setdefault(split, copy.copy(shared))
        text, info = env.reset(seed=seed, options={"context": context})
        self._state = EpisodeState(
            episode_id=str(uuid4()) if episode_id is None else episode_id,
            seed=seed,
            split=split,
            context=context,
        )
        metadata = self._metadata(False, info) | {"instruction": env.task.instruction}
        return UtteranceObservation(text=text, messages=to_json(env.conversation()), metadata=metadata)

    def step(self, action: UtteranceAction, timeout_s: float | None = None, **_: Any) -> UtteranceObservation:
        """Says one utterance; ``timeout_s`` is ignored.

        Raises:
            ValueError: the text is too long, no episode was begun, or the episode is over.
            TypeError: the message is not a text.
        """
        text, reward, terminated, truncated, info = self._env.step(action.message)
        self._state.step_count += 1
        self._state.done = terminated or truncated
        return UtteranceObservation(
            text=text,
            messages=to_json(self._env.conversation()),
            done=self._state.done,
            reward=reward,
            metadata=self._metadata(truncated, info),
        )

    @property
    def state(self) -> EpisodeState:
        """The state of the current episode."""
        return self._state

    def get_metadata(self) -> EnvironmentMetadata:
        """The id, the task's instruction, and the version of this package."""
        task = self._env.task
        told = task.instruction or f"{self._splits.env_id}, a language environment"
        return EnvironmentMetadata(name=self._splits.env_id, description=told, version=lang_envs.__version__)

    def render_web(self, observation: dict[str, Any]) -> str:
        """The episode so far as a dialogue, for the web interface."""
        return page(self._env.conversation(), observation.get("reward"), bool(observation.get("done")))

    # OpenEnv's tasks

    def list_splits(self) -> list[str]:
        """The names of the splits; empty if starting points are drawn freely."""
        return [] if self._env.task.num_contexts is None else list(self._splits.names)

    def num_tasks(self, split: str) -> int:
        """The number of starting points of a split."""
        return self._splits.size(split)

    def get_task(self, split: str, index: int) -> dict[str, Any]:
        """The arguments of ``reset`` for a starting point.

        Raises:
            IndexError: there is no such starting point; OpenEnv's protocol asks for this error.
        """
        if not 0 <= index < self.num_tasks(split):
            raise IndexError(f"split {split!r} has {self.num_tasks(split)} tasks, from 0; got {index}")
        return {"id": f"{split}-{index}", "split": split, "index": index, "context": index}

    def get_task_range(self, split: str, start: int | None = None, stop: int | None = None) -> list[dict[str, Any]]:
        """The arguments of ``reset`` for the starting points ``start`` to ``stop`` (excluded), as in a slice."""
        return [self.get_task(split, index) for index in range(self.num_tasks(split))[start:stop]]

    def list_tasks(self, split: str) -> list[dict[str, Any]]:
        """The arguments of ``reset`` for all starting points of a split."""
        return self.get_task_range(split)

    def _metadata(self, truncated: bool, info: dict[str, Any]) -> dict[str, Any]:
        plain = {key: v.tolist() if isinstance(v, np.generic | np.ndarray) else v for key, v in info.items()}
        return {"truncated": truncated, "turn": self._state.step_count, "info": plain}


def page(messages: Conversation, reward: float | None, done: bool) -> str:
    """A dialogue as HTML, with its texts escaped."""
    turns = "".join(
        f'<p style="white-space:pre-wrap"><b>{role}</b> {html.escape(content)}</p>' for role, content in messages
    )
    paid = "" if reward is None else f"<p>reward {reward:g}{', the episode is over' if done else ''}</p>"
    return f"<div>{turns}{paid}</div>"
