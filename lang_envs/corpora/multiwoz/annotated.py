"""Reads MultiWOZ 2.1's annotations: goals, the dialogue state at each turn of the agent, and the acts of users."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from lang_envs.corpora.by_name import downloaded
from lang_envs.corpora.dialogues.dialogue import Dialogue, in_split
from lang_envs.corpora.dialogues.multiwoz import dialogue_of, records
from lang_envs.corpora.files import CorpusError
from lang_envs.corpora.multiwoz import database
from lang_envs.corpora.multiwoz.database import Database
from lang_envs.corpora.multiwoz.goal import Goal, goal_of
from lang_envs.corpora.multiwoz.values import DOMAINS, normalised
from lang_envs.corpora.read_once import read_once
from lang_envs.corpora.records import brief, shown
from lang_envs.corpora.records import field as field_of

State = Mapping[str, Mapping[str, str]]
"""domain -> slot -> value as understood so far; details of a booking are slots such as "book day" """


class Act(NamedTuple):
    """One annotated act of a turn."""

    intent: str
    """such as "Hotel-Inform" """
    slot: str
    """such as "Area"; "none" if the act has none"""
    value: str


class Span(NamedTuple):
    """The position of a value in a turn."""

    intent: str
    slot: str
    first: int
    """index of its first word, from 0, among the words between blanks"""
    last: int
    """index of its last word, included"""


@dataclass(frozen=True)
class Turn:
    """One turn with its annotations."""

    text: str
    """the text as in the file"""
    acts: tuple[Act, ...] = ()
    spans: tuple[Span, ...] = ()
    state: State = field(default_factory=dict)
    """for a turn of the agent: the dialogue state at that turn"""
    booked: frozenset[str] = frozenset()
    """for a turn of the agent: the domains in which something is booked by then"""


@dataclass(frozen=True)
class Annotated:
    """A dialogue with its goal and its annotations."""

    dialogue: Dialogue
    goal: Goal
    turns: tuple[Turn, ...]
    """the annotations of ``dialogue.turns``, one for each"""

    @property
    def agent_turns(self) -> list[Turn]:
        """The turns of the agent."""
        return [turn for turn, (who, _) in zip(self.turns, self.dialogue.turns, strict=True) if who == "agent"]


class Corpus(NamedTuple):
    """The dialogues of a folder and the databases beside them."""

    dialogues: tuple[Annotated, ...]
    database: Database

    def split(self, name: str) -> list[Annotated]:
        """The dialogues of one split: the file's own splits if it has all three, otherwise random ones (``in_split``).

        Raises:
            ValueError: the split is unknown or empty.
        """
        found = {annotated.dialogue.id: annotated for annotated in self.dialogues}
        dialogues = [annotated.dialogue for annotated in self.dialogues]
        if len({dialogue.split for dialogue in dialogues}) == 1:
            dialogues = [replace(dialogue, split=None) for dialogue in dialogues]
        return [found[dialogue.id] for dialogue in in_split(dialogues, name)]


def located(path: str | os.PathLike[str] | None = None) -> Path:
    """The folder or file at ``path``, by default the first in ``$LANG_ENVS_DATA/dialogue`` whose name begins with
    "multiwoz".

    Raises:
        CorpusError: there is no such folder or file.
    """
    return downloaded("dialogue", "multiwoz")[0] if path is None else Path(path)


def load(path: str | os.PathLike[str] | None = None) -> Corpus:
    """Reads dialogues with goals and the folder ``db`` beside them. An unchanged folder is not read again.

    Args:
        path: a folder with MultiWOZ 2.1's dialogues and ``db``; by default that of :func:`located`.

    Raises:
        CorpusError: there is no such folder, or a record has another form; the message names file, record and field.
    """
    return _load(located(path))


@read_once(4)
def _load(path: Path) -> Corpus:
    if not path.is_dir():
        raise CorpusError(f"{path}: expected a folder that holds MultiWOZ 2.1's dialogues and its databases in db/")
    return Corpus(tuple(read(path)), database.load(path / "db"))


def read(path: str | os.PathLike[str]) -> Iterator[Annotated]:
    """Reads dialogues of 2.1's layout: ``{id: {"goal", "log": [{"text", "metadata", "dialog_act", "span_info"}]}}``.

    Raises:
        CorpusError: the layout is another one, a record has another form, or an id occurs twice; the message names
            file, record and field.
    """
    seen: set[str] = set()
    for where, record, split in records(path):
        dialogue = dialogue_of(record, where, split)
        if "log" not in record or "goal" not in record:
            raise CorpusError(f"{where}: expected the fields 'goal' and 'log', as MultiWOZ 2.1 has them")
        turns = [_turn(turn, f"{where}, log {i}") for i, turn in enumerate(record["log"])]
        spoken = tuple(turn for turn in turns if turn.text.split())  # the same turns as in the dialogue
        if dialogue.id in seen:
            raise CorpusError(
                f"{where}: the dialogue {brief(dialogue.id)} is there twice; are two versions in one folder?"
            )
        seen.add(dialogue.id)
        if dialogue.turns:
            yield Annotated(dialogue, goal_of(record["goal"], f"{where}, goal"), spoken)


def _turn(turn: Any, where: str) -> Turn:
    acts = field_of(turn, "dialog_act", object, where) if "dialog_act" in turn else {}
    if not isinstance(acts, Mapping):
        acts = {}  # some versions have a text here for a turn without annotations
    spans = field_of(turn, "span_info", list, where) if turn.get("span_info") else []
    state, booked = _state(turn.get("metadata") or {}, f"{where}, metadata")
    return Turn(
        field_of(turn, "text", str, where),
        tuple(
            Act(intent, *_pair(pair, f"{where}, {intent}"))
            for intent in acts
            for pair in field_of(acts, intent, list, f"{where}, dialog_act")
        ),
        tuple(span for span in (_span(s, f"{where}, span_info") for s in spans) if 0 <= span.first <= span.last),
        state,
        booked,
    )


def _pair(pair: Any, where: str) -> tuple[str, str]:
    if not (isinstance(pair, Sequence) and len(pair) == 2 and isinstance(pair[0], str)):
        raise CorpusError(f"{where}: expected [slot, value], got {shown(pair)}")
    return pair[0], str(pair[1])


def _span(span: Any, where: str) -> Span:
    if not (isinstance(span, list) and len(span) == 5 and all(isinstance(place, int) for place in span[3:])):
        raise CorpusError(f"{where}: expected [act, slot, value, first word, last word], got {shown(span)}")
    return Span(str(span[0]), str(span[1]), span[3], span[4])


def _state(metadata: Any, where: str) -> tuple[State, frozenset[str]]:
    if not isinstance(metadata, Mapping):
        raise CorpusError(f"{where}: expected an object of domains, got {shown(metadata)}")
    state, booked = {}, set()
    for domain in (domain for domain in DOMAINS if domain in metadata):
        at = f"{where}, {domain}"
        known, book = (field_of(metadata[domain], key, dict, at) for key in ("semi", "book"))
        said = {**known, **{f"book {slot}": value for slot, value in book.items()}}
        slots = {slot: value for slot, value in said.items() if isinstance(value, str) and normalised(slot, value)}
        if slots:
            state[domain] = slots
        if book.get("booked"):
            booked.add(domain)
    return state, frozenset(booked)
