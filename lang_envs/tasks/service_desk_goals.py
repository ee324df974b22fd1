"""The goals of the users of :class:`~lang_envs.tasks.service_desk.ServiceDesk`, in three splits."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import numpy as np

from lang_envs.corpora.dialogues.desk import ANY, FACTS, NUM_ENTITIES, NUM_SLOTS, NUM_VALUES, services, values_of

Wanted = tuple[int, ...]
"""a value for each constraint slot, or ``ANY``"""
SPLITS = {"train": 12_000, "validation": 1_552, "test": 2_000}
OPENINGS = ((0,), (1,), (2,), (0, 1), (0, 2), (1, 2))
REQUESTS = ((), (FACTS,), (FACTS + 1,), (FACTS, FACTS + 1))
BOOKINGS = tuple(itertools.product(range(NUM_VALUES), repeat=2))
_SEED = 0


class Goal(NamedTuple):
    """The goal of a user."""

    service: int
    first: Wanted
    """the values that the user wants at first"""
    final: Wanted
    """the values that the user wants in the end: the same, or those after a change of mind"""
    opening: tuple[int, ...]
    """the constraint slots that the user tells in the opening"""
    requests: tuple[int, ...]
    """the facts that the user asks for, one after another"""
    mentioned: int
    """the part of the booking that the user tells without being asked, 0 or 1"""
    booking: tuple[int, ...]
    """the value of each part of the booking"""


def changes(entity: int) -> Iterator[tuple[Wanted, Wanted]]:
    """All changes of mind that end with an entity: the values wanted at first, and those wanted in the end.

    In six of them the user first wants another entity that agrees in one slot. In the other six the user first wants
    values that no entity has, and in the end gives up one slot.
    """
    final = values_of(entity)
    for other in map(values_of, range(NUM_ENTITIES)):
        if sum(a == b for a, b in zip(final, other, strict=True)) == 1:
            yield other, final
    for slot, more in itertools.product(range(NUM_SLOTS), (1, 2)):
        value = (final[slot] + more) % NUM_VALUES
        yield _with(final, slot, value), _with(final, slot, ANY)


@cache
def goals(split: str) -> tuple[Goal, ...]:
    """The goals of a split. Goals come in pairs for the same entity: one user of a pair never changes their mind.

    Raises:
        ValueError: the split is unknown.
    """
    if split not in SPLITS:
        raise ValueError(f"split must be one of {list(SPLITS)}, got {split!r}")
    names = list(SPLITS)
    ends = np.cumsum(list(SPLITS.values()))
    at = names.index(split)
    return _all_goals()[ends[at] - SPLITS[split] : ends[at]]


@cache
def _all_goals() -> tuple[Goal, ...]:
    rng, found = np.random.default_rng(_SEED), []
    for service, entity, opening, requests, mentioned, booking in itertools.product(
        range(len(services())), range(NUM_ENTITIES), OPENINGS, REQUESTS, range(2), BOOKINGS
    ):
        twists = list(changes(entity))
        for first, final in ((values_of(entity),) * 2, twists[rng.integers(len(twists))]):
            found.append(Goal(service, first, final, opening, requests, mentioned, booking))
    return tuple(found[i] for i in rng.permutation(len(found)))


def _with(values: Wanted, slot: int, value: int) -> Wanted:
    return (*values[:slot], value, *values[slot + 1 :])
