"""Conversations as tuples of messages; :mod:`lang_envs.markup` turns them into tokens.

The roles are those of chat models. "assistant" is the agent, and "user" is the side that the agent talks with. A
"system" message is said by neither: rules, a caption, who the user is.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, NamedTuple, get_args

Role = Literal["system", "user", "assistant"]
ROLES: tuple[Role, ...] = get_args(Role)


class Message(NamedTuple):
    """One message: its role and its text."""

    role: Role
    content: str


Conversation = tuple[Message, ...]


def system(content: str) -> Message:
    """A message that neither side says: rules, a caption."""
    return Message("system", content)


def user(content: str) -> Message:
    """A message of the other side."""
    return Message("user", content)


def assistant(content: str) -> Message:
    """A message of the agent."""
    return Message("assistant", content)


def to_json(conversation: Iterable[Message]) -> list[dict[str, str]]:
    """The messages as OpenAI-compatible servers, chat templates and TRL read them: ``{"role", "content"}`` each."""
    return [{"role": role, "content": content} for role, content in conversation]


def from_json(messages: Any) -> Conversation:
    """The reverse of :func:`to_json`.

    Raises:
        ValueError: ``messages`` is not a list, or a message has another role or no text.
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
    """Whether a value is a tuple of messages with texts."""
    return isinstance(value, tuple) and all(
        isinstance(message, Message) and message.role in ROLES and isinstance(message.content, str) for message in value
    )


def mirrored(conversation: Iterable[Message]) -> Conversation:
    """The conversation with the roles of agent and user exchanged."""
    other: dict[Role, Role] = {"system": "system", "user": "assistant", "assistant": "user"}
    return tuple(Message(other[role], content) for role, content in conversation)
