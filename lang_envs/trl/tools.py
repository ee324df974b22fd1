"""An utterance as a tool: the ``environment_factory`` of TRL's ``GRPOTrainer``."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from lang_envs.conversation import Conversation
from lang_envs.make import utterance_env
from lang_envs.utterance_env import UtteranceEnv

OVER = "The episode is over."
"""added to the last answer"""


class LanguageEnvironment:
    """One episode at a time, for a model that calls tools.

    TRL takes every public method except ``reset`` and ``get_reward`` as a tool.

    Args:
        env: the environment whose task is shared; the episodes belong to this object.
    """

    def __init__(self, env: UtteranceEnv) -> None:
        self._env, self._return = copy.copy(env), 0.0

    def reset(self, seed: int | None = None, context: int | None = None, **row: Any) -> str:
        """Starts an episode at a row of :func:`lang_envs.trl.prompts`.

        Returns:
            The environment's opening, which TRL puts after the prompt.
        """
        self._env.reset(seed=seed, options={"context": context})
        self._return = 0.0
        return _words(self._env.conversation())

    def say(self, message: str) -> str:
        """Say something to the environment and hear its answer.

        Args:
            message: What to say, without anything around it.

        Returns:
            The answer.
        """
        before = len(self._env.conversation())
        _, reward, terminated, truncated, _ = self._env.step(message)
        self._return += reward
        answer = _words(self._env.conversation()[before + 1 :])
        return "\n".join(part for part in (answer, OVER * (terminated or truncated)) if part)

    def get_reward(self) -> float:
        """The return of the episode so far, also if the model stopped before its end."""
        return self._return


def environment_factory(env_id: str, **options: Any) -> Callable[[], LanguageEnvironment]:
    """The ``environment_factory`` for an environment; the task is made once and shared by all rollouts.

    Args:
        env_id: a registered id.
        **options: options of the environment.

    Raises:
        ValueError: the id is not that of a language environment.
    """
    env = utterance_env(env_id, **options)
    return lambda: LanguageEnvironment(env)


def _words(messages: Conversation) -> str:
    """The text of messages: one message as it is, several each with its role."""
    if len(messages) == 1:
        return messages[0].content
    return "\n".join(f"{role}: {content}" for role, content in messages)
