"""The rules by which the user of :class:`~lang_envs.tasks.service_desk.ServiceDesk` acts, without words.

A turn of the agent is one move, the first of these that it makes: it books, names an entity, says that there is none,
tells a fact that was asked for, or asks.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from lang_envs.corpora.dialogues.desk import (
    ANY,
    FACTS,
    NUM_SLOTS,
    Texts,
    filled,
    matches,
    services,
    values_of,
    wordings,
)
from lang_envs.tasks.service_desk_goals import Goal
from lang_envs.tasks.service_desk_speech import Heard, Move, move

MAX_TURNS = 8
BOOKING = range(NUM_SLOTS, FACTS)
NOTHING = (ANY,) * NUM_SLOTS
Said = tuple[Texts, ...]
"""what a user says: for each part the possible wordings"""


class DeskState(NamedTuple):
    """A conversation so far."""

    context: int
    """the number of the goal"""
    goal: Goal
    patience: int
    """the annoyance at which the user leaves: 1, 2 or 3"""
    told: tuple[int, ...] = NOTHING
    """the value of each constraint slot that the user has told and still wants; ``ANY`` if none"""
    booking: tuple[int, ...] = (ANY, ANY)
    """the value of each part of the booking that the user has told; ``ANY`` if none"""
    turned: bool = False
    """whether the user has changed their mind"""
    offered: int = ANY
    """the entity named last"""
    accepted: bool = False
    """whether the user has taken it"""
    answered: int = 0
    """number of requests that were answered"""
    misled: bool = False
    """whether anything untrue was said of an entity"""
    annoyed: int = 0
    """number of annoyances so far"""
    stated: int = 0
    """number of turns in which the agent named an entity or booked"""
    agreed: int = 0
    """number of these turns that agreed with everything that the user had told by then"""
    turn: int = 0
    over: bool = False
    success: bool = False

    @property
    def wants(self) -> tuple[int, ...]:
        """What the user wants now."""
        return self.goal.final if self.turned else self.goal.first

    @property
    def pending(self) -> int:
        """The fact that the user waits for; ``ANY`` for none."""
        waits = self.accepted and self.answered < len(self.goal.requests)
        return self.goal.requests[self.answered] if waits else ANY

    @property
    def informed(self) -> bool:
        """Whether the entity named last is one that the user wants in the end."""
        return self.offered in matches(self.goal.final)

    @property
    def dropped(self) -> int:
        """The slot whose value the user has given up; ``ANY`` for none."""
        return self.goal.final.index(ANY) if self.turned and ANY in self.goal.final else ANY


def begun(context: int, goal: Goal, patience: int) -> tuple[DeskState, Said]:
    """The state before the agent's first turn, and the user's opening."""
    told = tuple(goal.first[slot] if slot in goal.opening else ANY for slot in range(NUM_SLOTS))
    return DeskState(context, goal, patience, told), (_opening(goal.service, told),)


def respond(state: DeskState, heard: Heard) -> tuple[DeskState, Said]:
    """The state after one turn of the agent, and the user's reply to it."""
    entity = state.offered if heard.entity == ANY else heard.entity
    stated = heard.entity != ANY or heard.books
    state = state._replace(
        turn=state.turn + 1,
        misled=state.misled or _untrue(heard, entity),
        stated=state.stated + stated,
        agreed=state.agreed + (stated and _agrees(state, heard, entity)),
    )
    if heard.books:
        return _closed(state._replace(offered=entity), heard)
    after, said = _moved(state, heard)
    if after.annoyed >= state.patience:
        return after._replace(over=True), (wordings()["leave"],)
    if after.turn == MAX_TURNS:
        return after._replace(over=True), (wordings()["late"],)
    if after.pending != ANY:
        said = (*said, services()[state.goal.service].slots[after.pending].ask)
    return after, said


def _moved(state: DeskState, heard: Heard) -> tuple[DeskState, Said]:
    match move(heard, state.offered if state.accepted else ANY, state.pending, not matches(state.told)):
        case Move.OFFER:
            return _offered(state, heard.entity)
        case Move.DENY:
            return _denied(state)
        case Move.TELL:
            return _told(state)
        case Move.ASK:
            return _asked(state, heard.asks)
        case Move.REMARK:
            return state, (wordings()["noted"],)
        case _:
            return _annoyed(state, wordings()["confused"])


def _offered(state: DeskState, entity: int) -> tuple[DeskState, Said]:
    if state.accepted:
        return _annoyed(state, wordings()["not_that"])
    goal, service, fits = state.goal, state.goal.service, values_of(entity)
    hasty = len(matches(state.told)) > 1
    state = state._replace(offered=entity)
    wrong = [slot for slot in range(NUM_SLOTS) if state.wants[slot] not in (ANY, fits[slot])]
    if not wrong:
        if not state.turned and goal.first != goal.final:
            return _changed(state)
        told = tuple(goal.booking[i] if i == goal.mentioned else state.booking[i] for i in range(2))
        slot = NUM_SLOTS + goal.mentioned
        book = _filled(service, "booking", slot, goal.booking[goal.mentioned])
        return state._replace(accepted=True, booking=told), (wordings()["accept"], book)
    contradicted = [slot for slot in wrong if state.told[slot] != ANY]
    if contradicted:
        return _annoyed(state, _filled(service, "told_before", contradicted[0], state.told[contradicted[0]]))
    slot, value = wrong[0], state.wants[wrong[0]]
    state = state._replace(told=_with(state.told, slot, value))
    if hasty:
        return _annoyed(state, _filled(service, "want", slot, value))
    return state, (_filled(service, "but_want", slot, value),)


def _changed(state: DeskState) -> tuple[DeskState, Said]:
    """The user was offered what they wanted at first, and now wants something else."""
    first, final = state.goal.first, state.goal.final
    new = tuple(slot for slot in range(NUM_SLOTS) if first[slot] != final[slot])
    told = tuple(final[slot] if slot in new else state.told[slot] for slot in range(NUM_SLOTS))
    return state._replace(told=told, turned=True), (_other_wish(state.goal.service, new, tuple(final[s] for s in new)),)


def _denied(state: DeskState) -> tuple[DeskState, Said]:
    if state.accepted or matches(state.told):
        return _annoyed(state, wordings()["exists"])
    state = state._replace(turned=True)
    service, slot = services()[state.goal.service], state.dropped
    return state._replace(told=_with(state.told, slot, ANY)), (filled(wordings()["relax"], service.slots[slot].name),)


def _told(state: DeskState) -> tuple[DeskState, Said]:
    state = state._replace(answered=state.answered + 1)
    said = wordings()
    return state, (said["thanks"],) if state.pending != ANY else (said["thanks"], said["repeat_booking"])


def _asked(state: DeskState, slot: int) -> tuple[DeskState, Said]:
    goal, service = state.goal, services()[state.goal.service]
    if slot >= NUM_SLOTS and not state.accepted:
        return state, (wordings()["first"],)
    if slot < NUM_SLOTS and state.accepted:
        return _annoyed(state, wordings()["not_that"])
    if slot == state.dropped:
        return _annoyed(state, filled(wordings()["told_before"], f"any {service.slots[slot].name}"))
    if slot < NUM_SLOTS:
        known, value = state.told[slot], state.wants[slot]
        after = state._replace(told=_with(state.told, slot, value))
    else:
        part = slot - NUM_SLOTS
        known, value = state.booking[part], goal.booking[part]
        booking = (value, state.booking[1]) if part == 0 else (state.booking[0], value)
        after = state._replace(booking=booking)
    if known != ANY:
        return _annoyed(state, _filled(goal.service, "told_before", slot, known))
    return after, (service.slots[slot].answer[value],)


def _closed(state: DeskState, heard: Heard) -> tuple[DeskState, Said]:
    """The conversation ends with a booking, right or wrong."""
    goal = state.goal
    booked = all(heard.named(NUM_SLOTS + part) == {goal.booking[part]} for part in range(2))
    success = booked and state.informed and not state.misled and state.answered == len(goal.requests)
    return state._replace(over=True, success=success), (wordings()["done"],)


def _annoyed(state: DeskState, said: Texts) -> tuple[DeskState, Said]:
    return state._replace(annoyed=state.annoyed + 1), (wordings()["grumble"], said)


def _agrees(state: DeskState, heard: Heard, entity: int) -> bool:
    """Whether what the agent names and books agrees with what the user has told by then."""
    if entity not in matches(state.told):
        return False
    known = ((NUM_SLOTS + part, value) for part, value in enumerate(state.booking) if value != ANY)
    return not heard.books or all(heard.named(slot) == {value} for slot, value in known)


def _untrue(heard: Heard, entity: int) -> bool:
    """Whether an utterance says something untrue of an entity. Values in a question or a denial say nothing of one."""
    of_any = heard.books or heard.entity != ANY or not (heard.denies or heard.asks != ANY)
    if entity == ANY or not of_any:
        return False
    right = dict(enumerate(values_of(entity)))
    return any(value != right.get(slot, entity) for slot, value in heard.says if slot not in BOOKING)


def _with(told: tuple[int, ...], slot: int, value: int) -> tuple[int, ...]:
    return (*told[:slot], value, *told[slot + 1 :])


@cache
def _filled(service: int, purpose: str, slot: int, value: int) -> Texts:
    """The wordings of a user's sentence about the value of a slot."""
    about, texts = services()[service].slots[slot], wordings()[purpose]
    if purpose == "told_before":
        return filled(texts, about.values[value])
    return tuple(text for mention in about.mention[value] for text in filled(texts, mention))


@cache
def _other_wish(service: int, slots: tuple[int, ...], values: tuple[int, ...]) -> Texts:
    about = services()[service].slots
    a, b = (about[slot].mention[value] for slot, value in zip(slots, values, strict=True))
    return tuple(text for one in a for other in b for text in filled(wordings()["change"], one, other))


@cache
def _opening(service: int, told: tuple[int, ...]) -> Texts:
    desk = services()[service]
    wishes = list(desk.wish)
    for slot, value in enumerate(told):
        if value != ANY:
            wishes = [f"{wish} {mention}" for wish in wishes for mention in desk.slots[slot].mention[value]]
    return tuple(f"{wish}." for wish in wishes)
