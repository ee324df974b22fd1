"""Conversations as data: who says what. How one becomes tokens is :mod:`lang_envs.markup`'s business.

The roles are those of chat models: "system" is what nobody says (rules, a caption, who the user is), "user" whoever the
agent talks with, "assistant" the agent.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, NamedTuple, get_args

Role = Literal["system", "user", "assistant"]
ROLES: tuple[Role, ...] = get_args(Role)


class Message(NamedTuple):
    """One turn, or what nobody says."""

    role: Role
    content: str


Conversation = tuple[Message, ...]


def system(content: str) -> Message:
    """What nobody says: rules, a caption."""
    return Message("system", content)


def user(content: str) -> Message:
    """What the other side says."""
    return Message("user", content)


def assistant(content: str) -> Message:
    """What the agent says."""
    return Message("assistant", content)


def to_json(conversation: Iterable[Message]) -> list[dict[str, str]]:
    """As OpenAI-compatible servers, chat templates and TRL read it: ``{"role": ..., "content": ...}``."""
    return [{"role": role, "content": content} for role, content in conversation]


def from_json(messages: Any) -> Conversation:
    """The reverse of :func:`to_json`.

    Raises:
        ValueError: for what is no list, another role, or a message without a text.
    """
    if not isinstance(messages, list | tuple):
        raise ValueError(f"messages are a list, got {repr(messages)[:80]}")
    found = []
    for message in messages:
        role, content = (message.get("role"), message.get("content")) if isinstance(message, dict) else (None, None)
        if not isinstance(role, str) or role not in ROLES or not isinstance(content, str):
            got = repr(message)[:200]
            raise ValueError(f"a message has a role of {list(ROLES)} and a text as its content, got {got}")
        found.append(Message(role, content))
    return tuple(found)


def is_conversation(value: Any) -> bool:
    """Whether it is a tuple of messages with texts."""
    return isinstance(value, tuple) and all(
        isinstance(message, Message) and message.role in ROLES and isinstance(message.content, str) for message in value
    )


def mirrored(conversation: Iterable[Message]) -> Conversation:
    """The same from the other side: the agent's turns are the user's, and the user's the agent's."""
    other: dict[Role, Role] = {"system": "system", "user": "assistant", "assistant": "user"}
    return tuple(Message(other[role], content) for role, content in conversation)
