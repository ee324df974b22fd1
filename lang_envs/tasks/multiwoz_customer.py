"""The simulated customer of MultiWOZ, who works through an agenda of constraints, questions and bookings by domain.

After Schatzmann et al. 2007, "Agenda-Based User Simulation for Bootstrapping a POMDP Dialogue System" (NAACL). There
the agenda is a stack with random pushes and pops. Here it follows from what is still open, so that a state is a plain
value. The order is: correct a wrong offer, answer questions, tell constraints, ask, book, go on to the next need.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from lang_envs.corpora.multiwoz.database import Database, Entity
from lang_envs.corpora.multiwoz.goal import Goal
from lang_envs.corpora.multiwoz.values import DONTCARE, OFFERED
from lang_envs.tasks.multiwoz_agenda import CustomerState, Plan, Said, plans_of
from lang_envs.tasks.multiwoz_hearing import Heard, tells
from lang_envs.tasks.multiwoz_words import Act

_AT_ONCE = 2  # most constraints or questions in one turn
_ANSWERS_AT_ONCE = 3
_COMMUTE = ("departure", "destination")
_TIMES = {"leaveAt": "arriveBy", "arriveBy": "leaveAt"}  # a customer with one is often asked for the other
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


class Customers:
    """The customers with these goals, who answer agents.

    Args:
        goals: one goal for each customer.
        database: the database of the agent's look-ups; the customer also judges offers by it.
    """

    def __init__(self, goals: Sequence[Goal], database: Database) -> None:
        self.database = database
        self.plans = [plans_of(goal, database) for goal in goals]

    def begin(self, context: int) -> tuple[CustomerState, Said]:
        """The customer of goal ``context`` opens with the first need."""
        return self._open(CustomerState(context))

    def answer(self, state: CustomerState, heard: Heard) -> tuple[CustomerState, Said | None]:
        """The customer's state after a turn of the agent, and the customer's turn; None if all needs are met."""
        before, (state, acts) = state, self._take(state, heard)
        news = any(act.kind == "inform" and (act.slot, act.value) not in before.told for act in acts)
        helped = news or _achieved(state) != _achieved(before)
        state = state._replace(turn=state.turn + 1, unhelpful=0 if helped else before.unhelpful + 1)
        if acts:
            more = [] if news else [act for act in self._next(state) if act.kind == "inform" and act not in acts]
            return self._tell(state, [*acts, *more[:1]], opens=False)
        while state.at < len(self.plans[state.context]):
            if acts := self._next(state):
                return self._tell(state, acts, opens=False)
            state = self._met(state)
            if state.at < len(self.plans[state.context]):
                return self._open(state)
        return state._replace(over=True), None

    # What is known

    def plan(self, state: CustomerState) -> Plan:
        """The current need."""
        return self.plans[state.context][state.at]

    def wanted(self, state: CustomerState) -> Mapping[str, str]:
        """The constraints that the customer has now."""
        plan = self.plan(state)
        if plan.first and not state.relaxed:
            return plan.first
        if plan.domain == "taxi" and state.venues:  # it drives between two places of the goal
            missing = [slot for slot in _COMMUTE if slot not in plan.info]
            places = (
                [name for name in state.venues if name not in plan.info.values()][-len(missing) :] if missing else []
            )
            return {**dict(zip(missing, places, strict=False)), **plan.info}
        return plan.info

    def booking(self, state: CustomerState) -> Mapping[str, str]:
        """The details of the booking that the customer wants now."""
        plan = self.plan(state)
        return plan.book if state.rebooked else {**plan.book, **plan.first_book}

    def found(self, state: CustomerState) -> tuple[Entity, ...]:
        """The entities that satisfy what was told, the accepted one first; until then the goal decides the first."""
        plan = self.plan(state)
        asked = tuple(pair for pair in state.told if not pair[0].startswith("book "))
        found = self.database.query(plan.domain, asked)
        if not found:
            return ()
        turned = state.context % len(found)
        found = (*found[turned:], *found[:turned])
        own = next((entity for entity in found if entity.key == state.offer), None)
        return found if own is None else (own, *(entity for entity in found if entity is not own))

    def facts(self, state: CustomerState) -> Mapping[str, str]:
        """The attributes of the accepted entity, taxi or service; empty if there is none yet."""
        plan, told = self.plan(state), dict(state.told)
        if plan.domain in OFFERED:
            return {} if state.offer is None else self._accepted(state).facts
        if plan.domain == "taxi":
            needed = self.wanted(state)
            return self._car(state) if all(told.get(slot) == value for slot, value in needed.items()) else {}
        return self.database.fixed(plan.domain, told)

    def reference(self, state: CustomerState) -> str | None:
        """The reference of the booking that was told: empty if it cannot be booked, None if details are missing."""
        plan, told = self.plan(state), dict(state.told)
        if state.offer is None or not plan.book:
            return None
        details = {slot: told.get(slot) for slot in plan.book}
        if None in details.values():
            return None
        if plan.first_book and details == {**plan.book, **plan.first_book}:
            return ""
        return _code(state.context, plan.domain, state.offer)

    def _accepted(self, state: CustomerState) -> Entity:
        plan = self.plan(state)
        assert state.offer is not None
        fitting = [e for e in self.database.query(plan.domain, plan.info) if e.key == state.offer]
        return (fitting or [*self.database.called(plan.domain, state.offer)])[0]

    def _car(self, state: CustomerState) -> Mapping[str, str]:
        colours, makes = self.database.taxi
        drawn = int.from_bytes(hashlib.blake2b(f"taxi {state.context}".encode(), digest_size=8).digest())
        car = f"{colours[drawn % len(colours)]} {makes[drawn // 8 % len(makes)]}"
        return {"car type": car, "phone": f"07{drawn % 10**9:09d}"}

    # What the agent's turn changes

    def _take(self, state: CustomerState, heard: Heard) -> tuple[CustomerState, list[Act]]:
        """The state after the agent's turn, and the customer's acts that answer it directly."""
        state = state._replace(offers=_latest(state.offers, heard.mentions.offers))
        state, acts = self._offered(state, heard)
        if heard.refuses and not acts:
            state, acts = self._refused(state)
        state = self._informed(state, heard)
        asked = [self._answered(state, slot) for slot in heard.asks]
        answers = dict.fromkeys(act for act in asked if act is not None and act not in acts)
        return state, [*acts, *answers][:_ANSWERS_AT_ONCE]

    def _offered(self, state: CustomerState, heard: Heard) -> tuple[CustomerState, list[Act]]:
        plan = self.plan(state)
        keys = heard.mentions.offers.get(plan.domain, ())
        if not keys or state.offer in keys:
            return state, []
        wanted = self.wanted(state)
        right = [key for key in keys if self.database.satisfies(plan.domain, key, wanted)]
        if right:
            return state._replace(offer=right[0], known=frozenset(), booked=False), _choice(
                plan, keys, right[0], self.database
            )
        missed = self.database.violated(plan.domain, keys[-1], wanted)
        return state, [Act("inform", slot, wanted[slot]) for slot in missed[:_AT_ONCE]]

    def _refused(self, state: CustomerState) -> tuple[CustomerState, list[Act]]:
        plan = self.plan(state)
        if plan.first and not state.relaxed and state.offer is None:
            changed = [Act("inform", s, v) for s, v in plan.info.items() if plan.first.get(s) != v]
            kept = tuple(pair for pair in state.told if pair[0] in plan.info)
            return state._replace(relaxed=True, told=kept), changed[:_ANSWERS_AT_ONCE]
        if plan.first_book and not state.rebooked and self.reference(state) == "":
            changed = [Act("inform", s, v) for s, v in plan.book.items() if plan.first_book.get(s, v) != v]
            return state._replace(rebooked=True), changed
        return state, []

    def _informed(self, state: CustomerState, heard: Heard) -> CustomerState:
        facts = self.facts(state)
        if not facts:
            return state
        known = {slot for slot in self.plan(state).requests if slot not in state.known and tells(slot, facts, heard)}
        reference = self.reference(state)
        booked = bool(reference) and tells("reference", {"reference": reference or ""}, heard)
        return state._replace(known=state.known | known if known else state.known, booked=state.booked or booked)

    def _answered(self, state: CustomerState, slot: str) -> Act | None:
        """The answer to a question of the agent; None if the question does not concern what is open now."""
        wanted, booking = self.wanted(state), self.booking(state)
        detail = f"book {slot}"
        if (state.offer is not None or slot not in wanted) and detail in booking:
            return Act("inform", detail, booking[detail])
        slot = _TIMES.get(slot, slot) if slot not in wanted and _TIMES.get(slot) in wanted else slot
        if slot in wanted:
            return Act("inform", slot, wanted[slot])
        if state.offer is not None or slot not in _ASKABLE.get(self.plan(state).domain, ()):
            return None
        return Act("inform", slot, DONTCARE)

    # What the customer says on their own initiative

    def _next(self, state: CustomerState) -> list[Act]:
        """The acts for what is still open in the current need; empty if the need is met."""
        plan, told = self.plan(state), dict(state.told)
        wanted, booking = self.wanted(state), self.booking(state)
        if not self.facts(state):
            untold = [Act("inform", slot, value) for slot, value in wanted.items() if told.get(slot) != value]
            return untold[:_AT_ONCE] or [Act("suggest")]
        if unknown := [Act("request", slot) for slot in plan.requests if slot not in state.known]:
            return unknown[:_AT_ONCE]
        if plan.book and not state.booked:
            untold = [Act("inform", slot, value) for slot, value in booking.items() if told.get(slot) != value]
            return untold[:_ANSWERS_AT_ONCE] or [Act("request", "reference")]
        return []

    def _tell(self, state: CustomerState, acts: Sequence[Act], opens: bool) -> tuple[CustomerState, Said]:
        told = dict(state.told)
        for act in acts:
            if act.kind == "inform":
                told[act.slot] = act.value
        return state._replace(told=tuple(told.items())), Said(self.plan(state).domain, opens, tuple(acts))

    def _met(self, state: CustomerState) -> CustomerState:
        """The state at the beginning of the next need."""
        plan, told = self.plan(state), dict(state.told)
        needed = {**plan.info, **plan.book}
        in_full = state.in_full and all(told.get(slot) == value for slot, value in needed.items())
        venues = state.venues
        if plan.domain in OFFERED and plan.domain != "train":
            venues = (*venues, self._accepted(state).name)
        fresh = CustomerState(state.context)
        return state._replace(
            at=state.at + 1, told=(), relaxed=False, rebooked=False, offer=None, known=fresh.known, booked=False,
            venues=venues, in_full=in_full,
        )  # fmt: skip

    def _open(self, state: CustomerState) -> tuple[CustomerState, Said]:
        first = [Act("inform", slot, value) for slot, value in self.wanted(state).items()]
        name = [act for act in first if act.slot == "name"]
        return self._tell(state, (name or first)[: 1 + state.context % _AT_ONCE], opens=True)


_ASKABLE = {
    "restaurant": ("area", "food", "pricerange"),
    "hotel": ("area", "pricerange", "type", "stars", "parking", "internet"),
    "attraction": ("area", "type"),
    "train": ("leaveAt", "arriveBy", "day", "departure", "destination"),
    "taxi": ("leaveAt", "arriveBy", "departure", "destination"),
}


def _achieved(state: CustomerState) -> tuple[object, ...]:
    """The parts of the state by whose change a turn of the agent counts as helpful."""
    return state.relaxed, state.rebooked, state.offer, state.known, state.booked


def _choice(plan: Plan, keys: Sequence[str], key: str, database: Database) -> list[Act]:
    """The act by which the customer chooses one of several offers; empty if there was only one."""
    if len(keys) == 1 or plan.domain == "train":
        return []
    return [Act("inform", "name", database.called(plan.domain, key)[0].name)]


def _latest(
    offers: tuple[tuple[str, tuple[str, ...]], ...], named: Mapping[str, tuple[str, ...]]
) -> tuple[tuple[str, tuple[str, ...]], ...]:
    return tuple({**dict(offers), **named}.items()) if named else offers


def _code(context: int, domain: str, key: str) -> str:
    drawn = int.from_bytes(hashlib.blake2b(f"{context} {domain} {key}".encode(), digest_size=8).digest())
    letters = [_LETTERS[drawn // 36**place % 36] for place in range(7)]
    return "".join([*letters, str(drawn % 10)])
