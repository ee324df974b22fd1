"""Exact values of policies over acts at a :class:`~lang_envs.tasks.service_desk.ServiceDesk`, by dynamic programming.

Services, entities and values differ only in their names, so one goal of each kind represents all. A belief is the set
of conversations that look the same to the desk, with their probabilities. An act is applied to all conversations of a
belief at once, by the rules of the task itself.

    value(belief) = sum over acts of pi(act | view) (P(success) + value(what is then seen)) - turn cost
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import cache

from lang_envs.corpora.dialogues.desk import values_of
from lang_envs.tasks.service_desk import PATIENCE, ServiceDesk
from lang_envs.tasks.service_desk_acts import Act, Desk, View, desk_of, ways
from lang_envs.tasks.service_desk_goals import BOOKINGS, REQUESTS, Goal, changes
from lang_envs.tasks.service_desk_rules import NOTHING, DeskState, begun, respond

Belief = frozenset[tuple[DeskState, float]]
"""conversations that look the same to the desk, with their probabilities, which sum to 1"""
Likely = tuple[tuple[float, Belief], ...]
"""beliefs with their probabilities"""
Chances = Mapping[Act, float]
ActPolicy = Callable[[View, int], Chances]
"""(view, number of the turn from 0) -> the probability of each act"""
WORTHWHILE = (Act.ASK, Act.OFFER, Act.DENY, Act.TELL, Act.ARRANGE, Act.BOOK)
"""Acts that an optimal desk may do. All others say what is known to be wrong, or learn nothing and annoy."""
_DIGITS = 12


def optimal_value(task: ServiceDesk) -> float:
    """The mean return of the optimal desk over all goals."""
    return _Values(task.turn_cost, None).start()


def exact_value(task: ServiceDesk, policy: ActPolicy) -> float:
    """The mean return of a policy over all goals, if it draws uniformly among the ways to do an act.

    An act that is not possible becomes :attr:`~lang_envs.tasks.service_desk_acts.Act.CHAT`.
    """
    return _Values(task.turn_cost, policy).start()


class _Values:
    """Values of beliefs under a policy, or under the optimal policy if it is None; each is computed once."""

    def __init__(self, turn_cost: float, policy: ActPolicy | None) -> None:
        self.turn_cost, self.policy = turn_cost, policy
        self._known: dict[Belief, float] = {}

    def start(self) -> float:
        """The value at the beginning of a conversation."""
        return self._mean(_openings())

    def _mean(self, likely: Likely) -> float:
        return sum(chance * self._value(belief) for chance, belief in likely)

    def _value(self, belief: Belief) -> float:
        if belief not in self._known:
            self._known[belief] = self._worked_out(belief)
        return self._known[belief]

    def _worked_out(self, belief: Belief) -> float:
        some, _ = next(iter(belief))
        desk = desk_of(some)
        if self.policy is None:
            return max(self._of_act(belief, act) for act in WORTHWHILE if ways(desk, act))
        chances = self.policy(desk.view, some.turn)
        return sum(chance * self._of_act(belief, act) for act, chance in chances.items() if chance)

    def _of_act(self, belief: Belief, act: Act) -> float:
        success, follows = _outcome(belief, act)
        return success - self.turn_cost + self._mean(follows)


@cache
def _openings() -> Likely:
    """The beliefs after the user's opening."""
    seen: defaultdict[Desk, defaultdict[DeskState, float]] = defaultdict(lambda: defaultdict(float))
    for goal, chance in _kinds():
        for patience in PATIENCE:
            state, _ = begun(0, goal, patience)
            seen[desk_of(state)][state] += chance / len(PATIENCE)
    return _likely(seen)


@cache
def _outcome(belief: Belief, act: Act) -> tuple[float, Likely]:
    """The probability that an act ends with success, and the beliefs after it if the conversation goes on.

    They do not depend on the policy. All ways to do the act are equally likely; an act that is not possible is chat.
    """
    desk = desk_of(next(iter(belief))[0])
    said = ways(desk, act) or ways(desk, Act.CHAT)
    success = 0.0
    seen: defaultdict[Desk, defaultdict[DeskState, float]] = defaultdict(lambda: defaultdict(float))
    for (state, chance), heard in itertools.product(belief, said):
        after, _ = respond(state, heard)
        success += chance / len(said) * after.success
        if not after.over:
            after = _what_matters(after)
            seen[desk_of(after)][after] += chance / len(said)
    return success, _likely(seen)


def _likely(seen: Mapping[Desk, Mapping[DeskState, float]]) -> Likely:
    """The belief for each thing that the desk may see, with its probability."""
    found = []
    for states in seen.values():
        whole = sum(states.values())
        found.append((whole, frozenset((state, round(chance / whole, _DIGITS)) for state, chance in states.items())))
    return tuple(found)


def _what_matters(state: DeskState) -> DeskState:
    """The state without facts that no longer affect the return: counts of statements, and how the entity was found."""
    if not state.accepted:
        return state._replace(stated=0, agreed=0)
    goal = state.goal._replace(first=state.goal.final, opening=())
    return state._replace(stated=0, agreed=0, goal=goal, told=NOTHING, turned=False)


def _kinds() -> list[tuple[Goal, float]]:
    """One goal of each kind with the kind's share of all goals; goals that differ only in names are of one kind."""
    entity, booking, found = 0, BOOKINGS[0], []
    same = (values_of(entity),) * 2
    twists = list(changes(entity))
    for (first, final), chance in [(same, 1 / 2), *((twist, 1 / 2 / len(twists)) for twist in twists)]:
        for opening in ((0,), (0, 1)):
            found += [
                (Goal(0, first, final, opening, requests, mentioned, booking), chance / 2 / len(REQUESTS) / 2)
                for requests in REQUESTS
                for mentioned in range(2)
            ]
    return found
