"""Layouts with a whole conversation in each row: messages as OpenAI or ShareGPT write them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from datasets_builders.logs.cells import REWARDS, is_messages, messages, parsed, text
from datasets_builders.logs.layouts.layout import Layout, Read
from datasets_builders.logs.table import Table
from datasets_builders.logs.talk import Row, Talk, replies_of, talk_of
from lang_envs.conversation import system


def _inside(table: Table) -> tuple[str, ...]:
    """The names that a rating inside a message may have."""
    if table.named.unrated:
        return ()
    return tuple(name for name, _ in table.named.rewards) or REWARDS


def _is_inside(table: Table) -> bool:
    """Whether the ratings are in the messages and not in a column."""
    columns = [name for name in table.reward_columns() if name in table.columns or "." in name]
    return not columns and not table.named.unrated


def _reader(table: Table) -> Read:
    column, told = table.column("messages"), table.maybe("system")
    inside, names = _is_inside(table), _inside(table)
    rewards = table.rewards()

    def read(row: Row) -> Iterator[Talk]:
        found, ratings = messages(row.get(column), "messages", names if inside else ())
        if told and row.get(told):
            found = (system(text(row[told], "system message")), *found)
        yield talk_of(found, tuple(ratings) if inside else rewards(row, replies_of(found)))

    return read


def _rewards(table: Table) -> str:
    if not _is_inside(table):
        return table.rewards_in_words() + " (of the conversation: on the agent's last reply)"
    items = _items(table)
    found = [name for name in _inside(table) if any(name in one for one in items if isinstance(one, dict))]
    return f"{found[0]!r} of each message" if found else ""


def _items(table: Table) -> list[Any]:
    value = table.sample.get(table.column("messages"))
    value = parsed(value, "messages") if isinstance(value, str) else value
    return list(value) if isinstance(value, list | tuple) else []


def _has(table: Table, key: str) -> bool:
    found = table.candidates("messages")
    if table.all_of("chosen", "rejected") or not any(is_messages(table.sample.get(name)) for name in found):
        return False
    items = _items(table) if len(found) == 1 else []
    return (bool(items) and isinstance(items[0], dict) and key in items[0]) or (len(found) > 1 and key == "role")


LAYOUTS = (
    Layout("messages", "messages: [{role, content}, ...]", lambda table: _has(table, "role"), _reader, _rewards),
    Layout(
        "sharegpt",
        "conversations: [{from, value}, ...]",
        lambda table: _has(table, "from") and not _has(table, "role"),
        _reader,
        _rewards,
    ),
)
