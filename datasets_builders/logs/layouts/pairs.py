"""Layouts with two replies to one prompt in each row, a chosen and a rejected one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import takewhile
from typing import Any, TypeVar

from datasets_builders.logs.cells import is_messages, messages, number, plain, text, value_at
from datasets_builders.logs.layouts.answers import prompt_of
from datasets_builders.logs.layouts.layout import Layout, Read
from datasets_builders.logs.table import Table
from datasets_builders.logs.talk import Fault, Row, Talk, replies_of, said
from datasets_builders.storage import DatasetError
from lang_envs.conversation import Conversation, assistant, user

T = TypeVar("T")
KINDS = ("chosen", "rejected")
_SPEAKER = re.compile(r"(?:^|\n\n)(Human|Assistant): ?")
_OF_SCORES = ("score", "rating", "reward")
Side = tuple[str | Conversation, Conversation]
"""A prompt, and the messages that followed it."""


def transcript(value: Any, what: str) -> Conversation:
    """The messages of a text in which every turn begins with "Human:" or "Assistant:" after an empty line.

    Raises:
        Fault: the text is not such a transcript.
    """
    whole = text(value, what)
    first, *parts = _SPEAKER.split(whole)
    if first.strip() or not parts:
        raise Fault(f"the {what} is no transcript", f"{whole[:60]!r}")
    turns = zip(parts[::2], parts[1::2], strict=True)
    return tuple((user if who == "Human" else assistant)(words.strip()) for who, words in turns)


def split(chosen: Conversation, rejected: Conversation) -> list[Side]:
    """Splits both sides into the messages that they have in common at the beginning, and the rest of each.

    Raises:
        Fault: they differ before the agent's reply, or not at all.
    """
    same = takewhile(lambda pair: pair[0] == pair[1], zip(chosen, rejected, strict=False))
    prompt = tuple(message for message, _ in same)
    while prompt and prompt[-1].role == "assistant":
        prompt = prompt[:-1]
    rests = [side[len(prompt) :] for side in (chosen, rejected)]
    if any(not rest or rest[0].role != "assistant" for rest in rests):
        raise Fault("chosen and rejected differ before the agent's reply, or not at all")
    return [(prompt, rest) for rest in rests]


def split_texts(chosen: str, rejected: str) -> list[Side]:
    """Splits both texts into the words that they have in common at the beginning, and the rest of each.

    Raises:
        Fault: they have no words in common, or a rest is empty.
    """
    pairs = zip(chosen, rejected, strict=False)
    common = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    common = chosen.rfind(" ", 0, common + 1) + 1  # ends after a blank, so that no word is cut
    if not chosen[:common].strip():
        raise Fault("no prompt", "chosen and rejected begin with nothing in common")
    return [(chosen[:common].rstrip(), said(text(side[common:], "reply"))) for side in (chosen, rejected)]


def _side(prompt: Any, value: Any, what: str) -> Side:
    """One side of a pair with a column for the prompt; messages of the side may repeat the prompt."""
    heard = prompt_of(prompt)
    if not is_messages(value):
        return heard, said(text(value, f"{what} reply"))
    found, _ = messages(value, f"{what} reply")
    first = next((i for i in reversed(range(len(found))) if found[i].role == "assistant"), None)
    if first is None:
        raise Fault("nobody speaks as the agent")
    return (heard, found) if found[0].role == "assistant" else (found[:first], found[first:])


def scores(table: Table) -> tuple[str, str] | None:
    """The columns with the scores of the chosen and the rejected reply; None if there are none.

    Raises:
        DatasetError: columns look like scores by their names, but are not those of the two replies.
    """
    names = {plain(name): name for name in table.columns}
    if named := [name for name, _ in table.named.rewards]:
        if len(named) != 2:
            raise DatasetError(f"pairs have two columns of rewards, the chosen reply's first; got {named}")
        return named[0], named[1]
    for word in _OF_SCORES:
        for form in ("{w}_{k}", "{k}_{w}"):
            asked = [form.format(w=word, k=kind) for kind in KINDS]
            if all(name in names for name in asked):
                return names[asked[0]], names[asked[1]]
    odd = [names[name] for name in names if any(word in name for word in _OF_SCORES)]
    if odd and not table.named.unrated:
        raise DatasetError(
            f"the columns {odd} look like scores; name that of the chosen reply and that of the rejected one with "
            "--reward-column, or take them out"
        )
    return None


def _words(table: Table) -> str:
    found = scores(table)
    return f"columns {found[0]!r} and {found[1]!r}" if found else "none in the log: chosen counts 1, rejected 0"


def _talks(sides: list[Side], row: Row, rated: tuple[str, str] | None) -> Iterator[Talk]:
    worth = [number(value_at(row, name)) for name in rated] if rated else [1.0, 0.0]
    if sides[0] == sides[1]:
        raise Fault("chosen and rejected are the same")
    for kind, (prompt, rest), reward in zip(KINDS, sides, worth, strict=True):
        if reward is None:
            raise Fault("no rating", f"of the {kind} reply")
        yield Talk(prompt, rest, (*[None] * (replies_of(rest) - 1), reward), policy=kind)


def _explicit(table: Table) -> Read:
    prompt, rated = table.column("prompt"), scores(table)

    def read(row: Row) -> Iterator[Talk]:
        yield from _talks([_side(row.get(prompt), row.get(kind), kind) for kind in KINDS], row, rated)

    return read


def _both(side: Callable[[str], T]) -> tuple[T, T]:
    """The results of ``side`` for "chosen" and for "rejected"."""
    return side("chosen"), side("rejected")


def _implicit(table: Table) -> Read:
    rated = scores(table)

    def read(row: Row) -> Iterator[Talk]:
        if any(is_messages(row.get(kind)) for kind in KINDS):
            sides = split(*_both(lambda kind: messages(row.get(kind), f"{kind} reply")[0]))
        else:
            sides = split_texts(*_both(lambda kind: text(row.get(kind), f"{kind} reply")))
        yield from _talks(sides, row, rated)

    return read


def _hh(table: Table) -> Read:
    rated = scores(table)

    def read(row: Row) -> Iterator[Talk]:
        sides = split(*_both(lambda kind: transcript(row.get(kind), f"{kind} transcript")))
        yield from _talks(sides, row, rated)

    return read


def _is_hh(table: Table) -> bool:
    value = table.sample.get("chosen")
    return _is_pairs(table) and isinstance(value, str) and value.lstrip().startswith("Human:")


def _is_pairs(table: Table) -> bool:
    return table.all_of(*KINDS)


LAYOUTS = (
    Layout("hh", "chosen, rejected: transcripts, Human: ... Assistant: ...", _is_hh, _hh, _words, compares=True),
    Layout(
        "preference",
        "prompt, chosen, rejected, with score_chosen and score_rejected or without",
        lambda table: _is_pairs(table) and bool(table.candidates("prompt")),
        _explicit,
        _words,
        compares=True,
    ),
    Layout(
        "preference-implicit",
        "chosen, rejected: both begin with the prompt",
        lambda table: _is_pairs(table) and not _is_hh(table) and not table.candidates("prompt"),
        _implicit,
        _words,
        compares=True,
    ),
)
