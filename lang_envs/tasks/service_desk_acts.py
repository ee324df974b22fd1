"""The desk's side of :class:`~lang_envs.tasks.service_desk.ServiceDesk`, without words: what it sees, and its acts.

A desk sees a screen and the user's words (:class:`Desk`). A few numbers summarise this (:class:`View`). As far as acts
go, the conversation is a finite decision process over them.
"""

from __future__ import annotations

import itertools
from enum import IntEnum
from functools import cache
from typing import NamedTuple

from lang_envs.corpora.dialogues.desk import (
    ANY,
    NUM_ENTITIES,
    NUM_SLOTS,
    NUM_VALUES,
    matches,
    services,
)
from lang_envs.tasks.service_desk_rules import NOTHING, DeskState
from lang_envs.tasks.service_desk_speech import Heard, Move, move


class Act(IntEnum):
    """The kinds of acts of a desk, without the slot, entity or value that they are about."""

    ASK = 0
    """ask for a constraint that is not known"""
    REPEAT = 1
    """ask a question that was answered before"""
    OFFER = 2
    """offer an entity that agrees with all that is known"""
    MISOFFER = 3
    """offer another entity"""
    DENY = 4
    """say that there is no entity that fits"""
    TELL = 5
    """tell the fact that the user waits for"""
    MISTELL = 6
    """tell that fact of another entity"""
    ARRANGE = 7
    """ask for a part of the booking that is not known"""
    BOOK = 8
    """book what agrees with all that is known; unknown parts are guessed"""
    MISBOOK = 9
    """book something that contradicts what is known"""
    CHAT = 10
    """say anything else"""


class View(NamedTuple):
    """A summary of what a desk knows."""

    matches: int
    """number of entities that agree with what is known"""
    accepted: bool
    """whether the user has taken an entity"""
    pending: bool
    """whether the user waits for a fact"""
    missing: int
    """number of parts of the booking that are not known"""
    annoyed: int
    """number of annoyances so far"""


class Desk(NamedTuple):
    """What a desk knows."""

    service: int
    told: tuple[int, ...] = NOTHING
    """the known values of the constraints, until an entity is taken"""
    dropped: int = ANY
    """the constraint that was given up; ``ANY`` for none"""
    accepted: int = ANY
    """the entity that the user has taken; ``ANY`` for none"""
    booking: tuple[int, ...] = (ANY, ANY)
    pending: int = ANY
    """the fact that the user waits for; ``ANY`` for none"""
    annoyed: int = 0

    @property
    def view(self) -> View:
        """The summary of what the desk knows."""
        taken = self.accepted != ANY
        missing = self.booking.count(ANY)
        return View(1 if taken else len(matches(self.told)), taken, self.pending != ANY, missing, self.annoyed)


def desk_of(state: DeskState) -> Desk:
    """What a desk knows in a state."""
    service, booking, annoyed = state.goal.service, state.booking, state.annoyed
    if state.accepted:
        return Desk(service, NOTHING, ANY, state.offered, booking, state.pending, annoyed)
    return Desk(service, state.told, state.dropped, ANY, booking, ANY, annoyed)


@cache
def screen(desk: Desk) -> str:
    """The text of the screen: the entities that agree with what is known, or the taken entity and the booking."""
    service = services()[desk.service]
    if desk.accepted == ANY:
        known = [
            f"any {slot.name}" if at == desk.dropped else slot.values[value] if value != ANY else f"{slot.name} ?"
            for at, (slot, value) in enumerate(zip(service.constraints, desk.told, strict=True))
        ]
        return f"{', '.join(known)}: {', '.join(service.names[i] for i in matches(desk.told)) or 'none'}"
    phone, street = (fact.values[desk.accepted] for fact in service.facts)
    parts = [
        f"{slot.name} ?" if value == ANY else slot.mention[value][0]
        for slot, value in zip(service.booking, desk.booking, strict=True)
    ]
    return f"{service.names[desk.accepted]}, {phone}, {street} Street: {', '.join(parts)}"


@cache
def screens() -> dict[str, Desk]:
    """Every possible screen, with what a desk knows from it."""
    known, parts = range(-1, NUM_VALUES), list(itertools.product(range(-1, NUM_VALUES), repeat=2))
    desks = [
        Desk(service, told, dropped)
        for service in range(len(services()))
        for told in itertools.product(known, repeat=NUM_SLOTS)
        for dropped in (ANY, *(slot for slot in range(NUM_SLOTS) if told[slot] == ANY))
    ]
    desks += [
        Desk(service, accepted=entity, booking=booking)
        for service in range(len(services()))
        for entity in range(NUM_ENTITIES)
        for booking in parts
    ]
    return {screen(desk): desk for desk in desks}


def act_of(desk: Desk, heard: Heard) -> Act:
    """The act of an utterance."""
    fitting = matches(desk.told) if desk.accepted == ANY else (desk.accepted,)
    match move(heard, desk.accepted, desk.pending, not fitting):
        case Move.BOOK:
            entity = desk.accepted if heard.entity == ANY else heard.entity
            parts = enumerate(desk.booking)
            agrees = all(value == ANY or heard.named(NUM_SLOTS + part) == {value} for part, value in parts)
            return Act.BOOK if agrees and entity in fitting else Act.MISBOOK
        case Move.OFFER:
            return Act.OFFER if heard.entity in fitting else Act.MISOFFER
        case Move.DENY:
            return Act.DENY
        case Move.TELL:
            return Act.TELL if heard.named(desk.pending) == {desk.accepted} else Act.MISTELL
        case Move.ASK if heard.asks < NUM_SLOTS:
            known = desk.accepted != ANY or heard.asks == desk.dropped or desk.told[heard.asks] != ANY
            return Act.REPEAT if known else Act.ASK
        case Move.ASK:
            return Act.ARRANGE if desk.booking[heard.asks - NUM_SLOTS] == ANY else Act.REPEAT
        case _:
            return Act.CHAT


@cache
def ways(desk: Desk, act: Act) -> tuple[Heard, ...]:
    """All ways to do an act, which are equally good as far as the desk knows; empty if the act is not possible."""
    taken = desk.accepted != ANY
    fitting = (desk.accepted,) if taken else matches(desk.told)
    parts = {NUM_SLOTS + part: value for part, value in enumerate(desk.booking)}
    asked = {} if taken else {slot: desk.told[slot] != ANY or slot == desk.dropped for slot in range(NUM_SLOTS)}
    asked |= {slot: value != ANY for slot, value in parts.items()} if taken else {}
    match act:
        case Act.ASK | Act.ARRANGE:
            return tuple(
                Heard(asks=slot)
                for slot, known in asked.items()
                if not known and (slot < NUM_SLOTS) == (act is Act.ASK)
            )
        case Act.REPEAT:
            return tuple(Heard(asks=slot) for slot, known in asked.items() if known)
        case Act.OFFER:
            return () if taken else tuple(Heard(entity=entity) for entity in fitting)
        case Act.MISOFFER:
            return tuple(Heard(entity=entity) for entity in range(NUM_ENTITIES) if entity not in fitting)
        case Act.DENY:
            return (Heard(denies=True),)
        case Act.TELL | Act.MISTELL if desk.pending != ANY:
            right = act is Act.TELL
            others = (entity for entity in range(NUM_ENTITIES) if (entity == desk.accepted) == right)
            return tuple(Heard(says=((desk.pending, entity),)) for entity in others)
        case Act.BOOK | Act.MISBOOK:
            if act is Act.MISBOOK and desk.booking == (ANY, ANY):
                return ()
            bookings = itertools.product(*(_values(value, act is Act.BOOK) for value in desk.booking))
            found = [tuple(zip(parts, booking, strict=True)) for booking in bookings]
            return tuple(Heard(books=True, entity=entity, says=says) for says in found for entity in fitting)
        case Act.CHAT:
            return (Heard(),)
        case _:
            return ()


def _values(known: int, agree: bool) -> tuple[int, ...]:
    """The values of a part of the booking that agree with the known value, or those that do not."""
    return tuple(value for value in range(NUM_VALUES) if known == ANY or (value == known) == agree)
