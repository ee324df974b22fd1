"""The pydantic models of actions, observations and states, which the client and the server exchange."""

from __future__ import annotations

from openenv.core.env_server.types import Action, Observation, State
from pydantic import Field, SkipValidation


class UtteranceAction(Action):
    """One utterance of the agent.

    The environment checks its type and length, because its errors say what is wrong.
    """

    message: SkipValidation[str] = Field(description="what the agent says, as text without an end token")


class UtteranceObservation(Observation):
    """The observation of the agent after an utterance or a reset.

    ``metadata`` holds ``truncated`` (bool, whether the episode was cut and not ended by the task), ``turn`` (int, the
    number of utterances said) and ``info`` (the facts of the task's reply); after a reset also ``instruction``.
    """

    text: str = Field(description="what the environment says, as gymnasium's utterance level returns it")
    messages: list[dict[str, str]] = Field(
        default_factory=list, description="the whole episode so far as messages, each with a role and a content"
    )


class EpisodeState(State):
    """The state of a session. ``step_count`` is the number of utterances. Before the first reset, fields are empty."""

    seed: int | None = Field(default=None, description="of the episode; None where it was drawn")
    split: str | None = Field(default=None, description="the part of the starting points that the episode is from")
    context: int | None = Field(default=None, description="the starting point that was asked for; None where drawn")
    done: bool = Field(default=False, description="whether the episode is over")
