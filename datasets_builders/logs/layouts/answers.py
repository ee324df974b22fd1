"""Layouts with a prompt and one reply in each row, each in its own column."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from datasets_builders.logs.cells import flag, is_messages, messages, number, plain, text
from datasets_builders.logs.layouts.layout import Layout, Read
from datasets_builders.logs.table import Spread, Table
from datasets_builders.logs.talk import Fault, Row, Talk, replies_of, said
from lang_envs.conversation import Conversation, system

_LABEL = ("label",)


def prompt_of(value: Any, told: Any = None) -> str | Conversation:
    """The prompt that the agent read: a text, or messages.

    Args:
        value: the value of the column.
        told: the system message from another column, if any.

    Raises:
        Fault: the value is neither a text nor messages.
    """
    found = messages(value, "prompt")[0] if is_messages(value) else text(value, "prompt")
    if not told:
        return found
    turns = found if isinstance(found, tuple) else said(found, "user")
    return (system(text(told, "system message")), *turns)


def reply_of(value: Any, what: str = "reply") -> Conversation:
    """The agent's reply and what followed it: from a text, or from messages of which the first is the agent's.

    Raises:
        Fault: the value is neither.
    """
    if not is_messages(value):
        return said(text(value, what))
    found, _ = messages(value, what)
    if found[0].role != "assistant":
        raise Fault(f"the {what} opens with a message of the {found[0].role}")
    return found


def _reader(table: Table, rewards: Spread) -> Read:
    prompt, response, told = table.column("prompt"), table.column("response"), table.maybe("system")

    def read(row: Row) -> Iterator[Talk]:
        rest = reply_of(row.get(response))
        heard = prompt_of(row.get(prompt), row.get(told) if told else None)
        yield Talk(heard, rest, rewards(row, replies_of(rest)))

    return read


def _alpaca(table: Table) -> Read:
    rewards, told = table.rewards(), table.maybe("system")
    response = next((name for name in table.columns if plain(name) in ("output", "response")), "output")
    beside = next((name for name in table.columns if plain(name) in ("input", "context")), None)

    def read(row: Row) -> Iterator[Talk]:
        asked = text(row.get("instruction"), "instruction")
        if beside and row.get(beside):
            asked = f"{asked}\n\n{text(row[beside], beside)}"
        yield Talk(prompt_of(asked, row.get(told) if told else None), reply_of(row.get(response)), rewards(row, 1))

    return read


def _is_alpaca(table: Table) -> bool:
    names = set(map(plain, table.columns))
    return "instruction" in table.sample and bool({"output", "response"} & names) and not table.named.columns


def _is_answers(table: Table) -> bool:
    return bool(table.candidates("prompt") and table.candidates("response")) and not _is_alpaca(table)


def _is_labelled(table: Table) -> bool:
    labelled = any(plain(name) == "label" for name in table.columns)
    return _is_answers(table) and labelled and not table.named.rewards and not table.named.unrated


def _label(table: Table) -> Read:
    both = table.reward_columns((*_LABEL, "reward", "score", "rating"))  # raises if there are two
    return _reader(table, table.rewards([plain(name) for name in both], flag))


LAYOUTS = (
    Layout(
        "kto",
        "prompt, completion, label: true or false",
        _is_labelled,
        _label,
        lambda table: f"{table.rewards_in_words(_LABEL)}: true is 1, false 0",
    ),
    Layout(
        "answers",
        "prompt, response and a reward or score",
        lambda table: _is_answers(table) and not _is_labelled(table),
        lambda table: _reader(table, table.rewards(read=number)),
        lambda table: table.rewards_in_words(),
    ),
    Layout("alpaca", "instruction, input, output", _is_alpaca, _alpaca, lambda table: table.rewards_in_words()),
)
