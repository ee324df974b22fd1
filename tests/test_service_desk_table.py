"""The table that is learned from a log of the service desk: its equations, its decoding, its return."""

import dataclasses
import itertools
from collections import defaultdict

import numpy as np
import pytest

from agents.evaluation.service_desk_table import DeskTable, steps
from lang_envs import rollout
from lang_envs.make import language_vec
from lang_envs.policies.service_desk import Guesser, Hasty
from lang_envs.speech import Speech
from lang_envs.tasks.service_desk import ServiceDesk
from lang_envs.tasks.service_desk_acts import Act, View

TASK = ServiceDesk()
SPEECH = Speech(TASK, TASK.tokenizer())


@pytest.fixture(scope="module")
def logged():
    """Conversations of two desks, of which each does well what the other does badly."""
    env = language_vec("ServiceDesk-v0", 256)
    return [episode for kind in (Guesser, Hasty) for episode in rollout(env, kind(env.task), range(600))]


def test_a_table_of_acts_stitches_what_filtering_cannot(logged):
    best = sorted(logged, key=lambda episode: -episode.ret)[: len(logged) // 10]
    cloned, filtered = (DeskTable.of(SPEECH, episodes).earns(TASK, greedy=True) for episodes in (logged, best))
    stitched = DeskTable.of(SPEECH, logged, tau=0.99).earns(TASK, greedy=True, advantage_weight=32.0)
    assert stitched > max(cloned, filtered) + 0.2
    with pytest.raises(ValueError, match="expectile"):
        DeskTable.of(SPEECH, logged, tau=1.0)


@pytest.mark.parametrize(("tau", "backup"), [(0.5, "token"), (0.9, "token"), (0.5, 1.0), (0.7, 0.5)])
def test_a_table_is_the_fixed_point_of_its_equations(logged, tau, backup):
    trace, some = backup if isinstance(backup, float) else 0.0, logged[::6]
    advantage = DeskTable.of(SPEECH, some, tau, 0.9, backup).advantage
    courses = [steps(SPEECH, episode) for episode in some]
    taken, values = defaultdict(list), defaultdict(float)
    for view, act, _ in itertools.chain.from_iterable(courses):
        taken[view].append(advantage[view][act])
    for own in map(np.array, taken.values()):
        assert (np.abs(tau - (own < 0)) * own).sum() == pytest.approx(0, abs=1e-6 * len(own)), "V is the expectile of Q"
    for _ in range(40):
        targets = defaultdict(list)
        for course in courses:
            y = ahead = 0.0
            for view, act, reward in reversed(course):
                y = reward + 0.9 * ((1 - trace) * ahead + trace * y)
                targets[view, act].append(y)
                ahead = values[view]
        found = defaultdict(list)
        for (view, act), own in targets.items():
            found[view].append(np.mean(own) - advantage[view][act])
        values |= {view: np.mean(own) for view, own in found.items()}
    for own in found.values():
        assert own == pytest.approx([own[0]] * len(own), abs=1e-5), "Q is the mean of the targets"


def test_a_table_decodes_as_agents_do():
    view = View(1, True, False, 1, 0)
    table = DeskTable(
        {view: {Act.BOOK: 0.9, Act.ARRANGE: 0.08, Act.CHAT: 0.02}}, {view: {a: a == Act.ARRANGE for a in Act}}
    )
    assert table.policy(view) == pytest.approx({Act.BOOK: 0.9, Act.ARRANGE: 0.08, Act.CHAT: 0.02})
    assert table.policy(view, greedy=True, advantage_weight=2.0) == {Act.BOOK: 1.0}
    assert table.policy(view, greedy=True, advantage_weight=4.0) == {Act.ARRANGE: 1.0}
    assert table.policy(view, lm_top_p=0.95) == pytest.approx({Act.BOOK: 0.9 / 0.98, Act.ARRANGE: 0.08 / 0.98})
    weighed = table.policy(view, advantage_weight=1.0, lm_top_p=0.95)
    assert weighed[Act.ARRANGE] / weighed[Act.BOOK] == pytest.approx(np.e * 0.08 / 0.9)
    assert set(table.policy(view._replace(missing=2)).values()) == {1 / len(Act)}


def test_an_episode_without_its_context_is_refused_in_words(logged):
    cut = dataclasses.replace(logged[0], info={"seed": 7})
    with pytest.raises(ValueError, match=r"\(seed 7\) says nothing of its context: it was cut"):
        DeskTable.of(SPEECH, [*logged[:3], cut])
