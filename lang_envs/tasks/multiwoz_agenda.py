"""The agenda of a simulated customer of MultiWOZ as a value: the needs of a goal, and the customer's progress."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from lang_envs.corpora.multiwoz.database import Database
from lang_envs.corpora.multiwoz.goal import Goal, Need
from lang_envs.corpora.multiwoz.values import OFFERED, normalised
from lang_envs.tasks.multiwoz_words import Act


class Plan(NamedTuple):
    """One need of a goal, in the form that the customer works through."""

    domain: str
    first: Mapping[str, str]
    """constraints that no entity satisfies, which the customer tells before ``info``; may be empty"""
    info: Mapping[str, str]
    requests: tuple[str, ...]
    first_book: Mapping[str, str]
    """details that cannot be booked, which the customer asks for before ``book``; may be empty"""
    book: Mapping[str, str]
    """details of the booking, by slots such as "book day" """


class CustomerState(NamedTuple):
    """A customer's progress in their agenda."""

    context: int
    """the number of the goal"""
    turn: int = 0
    """number of utterances of the agent so far"""
    at: int = 0
    """index of the current need; equal to the number of needs if all are met"""
    told: tuple[tuple[str, str], ...] = ()
    """slots and values that the customer told for this need, in the order of the first mention of each slot"""
    relaxed: bool = False
    """whether the first constraints were given up"""
    rebooked: bool = False
    """whether the first booking was given up"""
    offer: str | None = None
    """the key of the entity that was accepted"""
    known: frozenset[str] = frozenset()
    """the requests that were answered"""
    booked: bool = False
    venues: tuple[str, ...] = ()
    """the names of the entities that were accepted for earlier needs"""
    offers: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """for each domain the keys of the entities that the agent named last"""
    in_full: bool = True
    """whether the customer told all constraints and details of the needs met so far"""
    unhelpful: int = 0
    """number of consecutive turns of the agent that did not help"""
    over: bool = False


class Said(NamedTuple):
    """The acts of the customer's turn, all about one domain."""

    domain: str
    opens: bool
    """whether this turn opens a new need"""
    acts: tuple[Act, ...]


def plans_of(goal: Goal, database: Database) -> tuple[Plan, ...]:
    """The needs in order. First constraints that some entity satisfies are left out, because they never fail."""
    return tuple(_plan(need, database) for need in goal.needs)


def _plan(need: Need, database: Database) -> Plan:
    possible = need.domain in OFFERED and database.query(need.domain, need.fail_info)
    return Plan(
        need.domain,
        {} if possible else _said(need.fail_info),
        _said(need.info),
        need.requests,
        {f"book {slot}": value for slot, value in need.fail_book.items()},
        {f"book {slot}": value for slot, value in need.book.items()},
    )


def _said(info: Mapping[str, str]) -> dict[str, str]:
    return {slot: value for slot, value in info.items() if normalised(slot, value)}
