"""UtteranceClient: a client of the server, with actions, observations and states as pydantic models."""

from __future__ import annotations

from typing import Any

from openenv.core import EnvClient
from openenv.core.client_types import StepResult

from lang_envs.openenv.models import EpisodeState, UtteranceAction, UtteranceObservation


class UtteranceClient(EnvClient[UtteranceAction, UtteranceObservation, EpisodeState]):
    """One session on a server, asynchronous; ``.sync()`` returns a client with synchronous calls.

    ``reset`` takes ``seed``, ``context`` and ``split``; ``step`` takes an :class:`UtteranceAction`. If the server
    refuses a call, the client raises a RuntimeError with the server's message.
    """

    def _step_payload(self, action: UtteranceAction) -> dict[str, Any]:
        return {"message": action.message}

    def _parse_result(self, payload: dict[str, Any]) -> StepResult[UtteranceObservation]:
        reward, done = payload["reward"], payload["done"]
        observation = UtteranceObservation(**payload["observation"], reward=reward, done=done)
        return StepResult(observation, reward, done, observation.metadata)

    def _parse_state(self, payload: dict[str, Any]) -> EpisodeState:
        return EpisodeState(**payload)
