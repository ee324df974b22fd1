"""The agenda of a simulated customer of MultiWOZ as a value: the needs of a goal, and where in them the customer is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from lang_envs.corpora.multiwoz.database import Database
from lang_envs.corpora.multiwoz.goal import Goal, Need
from lang_envs.corpora.multiwoz.values import OFFERED, normalised
from lang_envs.tasks.multiwoz_words import Act


class Plan(NamedTuple):
    """One need of a goal, ready to be worked off."""

    domain: str
    first: Mapping[str, str]
    """constraints that nothing satisfies, and that are told before ``info``; else empty"""
    info: Mapping[str, str]
    requests: tuple[str, ...]
    first_book: Mapping[str, str]
    """what cannot be booked, and is asked for before ``book``; else empty"""
    book: Mapping[str, str]
    """by slots such as "book day" """


class CustomerState(NamedTuple):
    """Where a customer is in their agenda."""

    context: int
    """the goal's number"""
    turn: int = 0
    """utterances of the agent so far"""
    at: int = 0
    """which need is under way; all are met where it is their number"""
    told: tuple[tuple[str, str], ...] = ()
    """slots and values told in this need, the latest last"""
    relaxed: bool = False
    """whether the first constraints were given up"""
    rebooked: bool = False
    """whether the first booking was given up"""
    offer: str | None = None
    """the key of the entity that was accepted"""
    known: frozenset[str] = frozenset()
    """requests that were answered"""
    booked: bool = False
    venues: tuple[str, ...] = ()
    """the names of what was accepted in the needs before"""
    offers: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """of each domain, what the agent named last"""
    in_full: bool = True
    """whether all constraints and details of the needs met so far were told"""
    unhelpful: int = 0
    """turns in a row in which the agent did nothing that helps"""
    over: bool = False


class Said(NamedTuple):
    """What the customer says: acts about one domain."""

    domain: str
    opens: bool
    """whether a new need begins with them"""
    acts: tuple[Act, ...]


def plans_of(goal: Goal, database: Database) -> tuple[Plan, ...]:
    """The needs in order. First constraints that something does satisfy are left out: nobody would give them up."""
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
