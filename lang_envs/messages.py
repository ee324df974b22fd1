"""Conversations as chat messages: what OpenAI-compatible servers, chat templates and TRL read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Message = dict[str, str]
"""``{"role": "system" | "user" | "assistant", "content": text}``"""

_ROLES = {"context": "system", "user": "user", "agent": "assistant"}
_SPEAKERS = {role: speaker for speaker, role in _ROLES.items()}


def messages_of(turns: Sequence[tuple[str, str]]) -> list[Message]:
    """The (speaker, text) turns of :mod:`lang_envs.transcript` as messages; what nobody said is the system's."""
    return [{"role": _ROLES[speaker], "content": text} for speaker, text in turns]


def turns_in(messages: Any) -> list[tuple[str, str]]:
    """The reverse of :func:`messages_of`.

    Args:
        messages: a list of messages, as JSON has them.

    Raises:
        ValueError: for what is no list, another role, or a message without a text.
    """
    if not isinstance(messages, list | tuple):
        raise ValueError(f"messages are a list, got {repr(messages)[:80]}")
    turns = []
    for message in messages:
        role, content = (message.get("role"), message.get("content")) if isinstance(message, dict) else (None, None)
        if not isinstance(role, str) or role not in _SPEAKERS or not isinstance(content, str):
            got = repr(message)[:200]
            raise ValueError(f"a message has a role of {list(_SPEAKERS)} and a text as its content, got {got}")
        turns.append((_SPEAKERS[role], content))
    return turns
