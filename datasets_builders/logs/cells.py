"""Reads the values of a log's columns: a text, a number or messages; any other value is a ``Fault`` of the row."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

from datasets_builders.logs.talk import Fault, Row
from lang_envs.conversation import Conversation, Message, Role
from lang_envs.corpora.records import shown
from lang_envs.replies import check_reward
from lang_envs.tokenizers import whole

MOST_CHARACTERS = 2**18
"""largest length of one message; a longer one fits no model here, and tokenizing it would take seconds"""
REWARDS = ("reward", "rewards", "score", "scores", "rating", "ratings", "overall_score")
"""names under which a rating of a reply is recognised"""
_ROLES: dict[str, Role] = {
    "system": "system", "developer": "system",
    "user": "user", "human": "user", "prompter": "user", "customer": "user",
    "assistant": "assistant", "gpt": "assistant", "chatgpt": "assistant", "bot": "assistant", "model": "assistant",
    "ai": "assistant", "agent": "assistant",
}  # fmt: skip
_WORDS = {"true": 1.0, "false": 0.0}


def plain(name: str) -> str:
    """A column's name in the form in which names are compared: lower case, with "_" for "-" and blanks."""
    return name.strip().casefold().replace("-", "_").replace(" ", "_")


def value_at(row: Row, name: str) -> Any:
    """The value of a column, or of a field inside it ("annotations.help.Rating"); None if it is missing."""
    if name in row:
        return row[name]
    value: Any = row
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def text(value: Any, what: str) -> str:
    """A text that is not empty.

    Raises:
        Fault: it is missing, empty, too long, of another type, or holds a lone surrogate (half a character).
    """
    if value is None or (isinstance(value, float) and math.isnan(value)) or value == "":
        raise Fault(f"no {what}")
    return _text(value, what)


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise Fault(f"the {what} is no text", shown(value))
    if len(value) > MOST_CHARACTERS:
        raise Fault(f"a text of more than {MOST_CHARACTERS:,} characters", f"the {what} has {len(value):,}")
    if not whole(value):
        raise Fault("a text holds half a character", f"the {what} is {shown(value)}")
    return value


def number(value: Any) -> float | None:
    """A rating; None if there is none (null, NaN, an empty text).

    Raises:
        Fault: the value is not a number, or not finite in float32.
    """
    if isinstance(value, str):
        written = value.strip().casefold()
        if written in _WORDS:
            return _WORDS[written]
        try:
            value = None if written in ("", "nan", "null", "none", "n/a") else float(written.replace("_", "?"))
        except ValueError:
            raise Fault("a rating that is no number", shown(value)) from None
    if value is None or value != value:
        return None
    if not isinstance(value, Real):
        try:
            value = float(value)  # a decimal of Parquet
        except (TypeError, ValueError):
            raise Fault("a rating that is no number", shown(value)) from None
    try:
        found = float(value)
        check_reward(found)
    except (ValueError, OverflowError):
        raise Fault("a rating that is not finite in float32", shown(value)) from None
    return found


def numbers(value: Any, replies: int) -> list[float | None]:
    """The ratings of a row's replies [replies]: a list has one for each reply; a single number rates the last reply.

    Raises:
        Fault: the list has another length, or an entry is not a number.
    """
    if isinstance(value, str) and value.lstrip().startswith("["):
        value = parsed(value, "rating")
    if not isinstance(value, list | tuple):
        return [*[None] * (replies - 1), number(value)]
    if len(value) != replies:
        raise Fault("another number of ratings than of replies", f"{len(value)} ratings, {replies} replies")
    return [number(one) for one in value]


def parsed(value: str, what: str) -> Any:
    """The value of a text that holds JSON, as in a CSV file.

    Raises:
        Fault: the text is not JSON.
    """
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        raise Fault(f"the {what} begins as JSON does and is none", shown(value)) from None


def is_messages(value: Any) -> bool:
    """Whether a value looks like messages: a list of objects that name a speaker, or such a list as JSON in a text."""
    if isinstance(value, str):
        return value.lstrip().startswith("[{") and ('"role"' in value or '"from"' in value)
    return bool(_is_list(value) and value and isinstance(value[0], Mapping) and {"role", "from"} & set(value[0]))


def messages(value: Any, what: str, rewards: Sequence[str] = REWARDS) -> tuple[Conversation, list[float | None]]:
    """Messages as OpenAI ("role", "content") or ShareGPT ("from", "value") write them, and the ratings in them.

    Args:
        value: a list of objects, or one as JSON in a text.
        what: the name of the value, for errors.
        rewards: the names that a rating inside a message may have.

    Returns:
        The messages, and for each message of the agent its rating or None.

    Raises:
        Fault: the value does not hold messages.
    """
    if isinstance(value, str) and value.lstrip().startswith("["):
        value = parsed(value, what)
    if not _is_list(value) or not value:
        raise Fault(f"the {what} are no messages" if value is not None else f"no {what}", shown(value))
    found, ratings = [], list[float | None]()
    for one in value:
        message = _message(one)
        found.append(message)
        if message.role == "assistant":
            name = next((name for name in rewards if name in one), None)
            ratings.append(None if name is None else number(one[name]))
    return tuple(found), ratings


def _message(one: Any) -> Message:
    if not isinstance(one, Mapping):
        raise Fault("a message is no object", shown(one))
    role = one.get("role", one.get("from"))
    if not isinstance(role, str) or role.strip().casefold() not in _ROLES:
        raise Fault(f"a message of the role {role!r:.40}", f"roles are {', '.join(_ROLES)}")
    content = next((one[key] for key in ("content", "value", "text") if key in one), None)
    if isinstance(content, list | tuple):
        content = "".join(_part(part) for part in content)
    if content is None:
        raise Fault("a message without a text", shown(dict(one)))
    return Message(_ROLES[role.strip().casefold()], _text(content, "message"))


def _part(part: Any) -> str:
    if isinstance(part, Mapping) and isinstance(part.get("text"), str) and part.get("type", "text") == "text":
        return part["text"]
    raise Fault("a part of a message that is no text", shown(part))


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


def flag(value: Any) -> float | None:
    """A label of true or false as 1 or 0; None if there is none.

    Raises:
        Fault: the label is another value.
    """
    found = number(value)
    if found not in (None, 0.0, 1.0):
        raise Fault("a label that is neither true nor false", shown(value))
    return found
