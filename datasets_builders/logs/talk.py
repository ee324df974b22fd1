"""Talk: one conversation of a log, with the agent's messages and their ratings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from lang_envs.conversation import Conversation, Message, assistant, user

Row = Mapping[str, Any]
"""A row of a log: column -> value."""


class Fault(ValueError):
    """Why a row cannot be imported.

    Attributes:
        kind: the reason in a few words, without the values of the row; the report counts by it.
    """

    def __init__(self, kind: str, got: str = "") -> None:
        super().__init__(f"{kind}: {got}" if got else kind)
        self.kind = kind


@dataclass(frozen=True)
class TokenIds:
    """A conversation as tokens, kept exactly as they were logged."""

    tokens: list[int]
    is_action: list[bool]
    rewards: list[float]
    """one for every token"""
    logprobs: list[float] | None
    """one for every token, NaN where unknown"""


@dataclass(frozen=True)
class Talk:
    """One conversation.

    Attributes:
        prompt: what the agent read first: messages, or a text that may become a message of the user.
        rest: the messages after the prompt; the first is the agent's.
        rewards: one for each message of the agent in ``rest``; None where the log has no rating for it.
        policy: the name of the policy that spoke as the agent; None if the layout does not give it.
        name: the name of the conversation; None if the layout does not give it.
        ids: the conversation as tokens, if the log has them; ``prompt`` and ``rest`` are empty then.
    """

    prompt: str | Conversation
    rest: Conversation
    rewards: tuple[float | None, ...]
    policy: str | None = None
    name: str | None = None
    ids: TokenIds | None = None

    @property
    def opening(self) -> Conversation:
        """The prompt as messages."""
        return (user(self.prompt),) if isinstance(self.prompt, str) else self.prompt

    @property
    def rated(self) -> bool:
        """Whether the log rates any of the agent's messages."""
        return any(reward is not None for reward in self.rewards)


def talk_of(messages: Conversation, rewards: tuple[float | None, ...], **facts: Any) -> Talk:
    """A conversation whose prompt ends before the agent's first message, so that all of its replies are actions.

    Raises:
        Fault: no message is the agent's.
    """
    first = next((i for i, message in enumerate(messages) if message.role == "assistant"), None)
    if first is None:
        raise Fault("nobody speaks as the agent")
    return Talk(messages[:first], messages[first:], rewards, **facts)


def without_replies_in_a_row(talk: Talk) -> Talk:
    """The conversation with consecutive messages of the agent joined into one, rated by the sum of their ratings.

    Raises:
        Fault: the prompt ends with a message of the agent, which cannot be joined with the reply.
    """
    if talk.rest and talk.opening and talk.opening[-1].role == "assistant":
        raise Fault("a reply directly after a reply of the prompt, which the chat template does not allow")
    rest, rewards, left = list[Message](), list[float | None](), iter(talk.rewards)
    for message in talk.rest:
        reward = next(left) if message.role == "assistant" else None
        if message.role == "assistant" and rest and rest[-1].role == "assistant":
            rest[-1] = assistant(f"{rest[-1].content}\n\n{message.content}")
            rewards[-1] = _sum(rewards[-1], reward)
            continue
        rest.append(message)
        if message.role == "assistant":
            rewards.append(reward)
    return replace(talk, rest=tuple(rest), rewards=tuple(rewards))


def _sum(one: float | None, other: float | None) -> float | None:
    """The sum of the ratings that are known; None if neither is."""
    known = [rating for rating in (one, other) if rating is not None]
    return sum(known) if known else None


def replies_of(messages: Conversation) -> int:
    """The number of the agent's messages."""
    return sum(message.role == "assistant" for message in messages)


def said(text: str, role: Any = "assistant") -> Conversation:
    """A single message, by default the agent's."""
    return (Message(role, text),)
