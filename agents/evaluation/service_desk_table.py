"""Exact learners for ServiceDesk: each method as a table with one entry per state of the log.

A state is what the desk knows at the moment (``lang_envs.tasks.service_desk_acts.View``), and an action is an act. The
number of the turn is not part of the state: few conversations last until the last turn, and the log would hold fewer
samples of each state.

    pi_beta(a | s) = the share of a among the acts that the log took in s
    Q(s, a)        = mean over the log of y,   y = r + gamma ((1 - lambda) V(s') + lambda y')
    V(s)           = the tau-expectile of Q(s, a) over the acts that the log took in s

    policy   log pi(a | s) = log pi_beta(a | s) + advantage_weight (Q(s, a) - V(s)) + const

tau = 1/2 is SARSA, or Monte Carlo with ``backup=1.0``. A higher tau is ILQL. Imitation is the policy with a weight of
0; on a part of the log it is %BC. In states that the log does not contain, all acts are equally likely.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from agents.evaluation.tabular import group_expectile, group_mean
from agents.value_learning import Backup
from lang_envs import Episode
from lang_envs.speech import Speech
from lang_envs.tasks.service_desk import ServiceDesk
from lang_envs.tasks.service_desk_acts import Act, View, act_of, desk_of
from lang_envs.tasks.service_desk_rules import begun, respond
from lang_envs.tasks.service_desk_speech import read
from lang_envs.tasks.service_desk_values import exact_value

_FOREVER = 99  # patience of a replayed user, who must not leave: the log says when they did
_ANYTHING: Mapping[Act, float] = {act: 1 / len(Act) for act in Act}
_CONVERGED, _ROUNDING = 1e-6, 1e-9


class Step(NamedTuple):
    """One turn of the desk."""

    view: View
    """the state before the turn"""
    act: Act
    reward: float


def steps(speech: Speech, episode: Episode) -> list[Step]:
    """The turns of an episode of the speech's task.

    Raises:
        ValueError: its info has no context.
    """
    task, end = speech.task, int(speech.tokenizer.eos_token_id)
    assert isinstance(task, ServiceDesk)
    context = episode.info.get("context")
    if context is None:
        raise ValueError(
            f"An episode of the service desk (seed {episode.info.get('seed')}) says nothing of its context: it was cut "
            "before the first reply, or read without its info. Leave it out, or read it with info=True."
        )
    state, _ = begun(context, task.goals[context], _FOREVER)
    found = []
    for span in episode.utterances(end, task.max_utterance_tokens):
        said = episode.tokens[span].tolist()
        heard = read(state.goal.service, speech.hear(said[:-1] if said[-1] == end else said))
        desk = desk_of(state)
        found.append(Step(desk.view, act_of(desk, heard), float(episode.rewards[span].sum())))
        state, _ = respond(state, heard)
    return found


@dataclass(frozen=True)
class DeskTable:
    """The share and the advantage of each act that the log took in each state."""

    share: Mapping[View, Mapping[Act, float]]
    advantage: Mapping[View, Mapping[Act, float]]

    @classmethod
    def of(
        cls,
        speech: Speech,
        episodes: Sequence[Episode],
        tau: float = 0.5,
        gamma: float = 1.0,
        backup: Backup = "token",
    ) -> DeskTable:
        """Makes the table of a log.

        Args:
            speech: the speech of the logged task, with its split and the log's tokens.
            episodes: the log, with its info.
            tau: the expectile, 0 < tau < 1.
            gamma: discount per turn.
            backup: the lambda of TD(lambda); all named backups are one step, because an act is a whole utterance.

        Raises:
            ValueError: tau outside (0, 1), or an episode whose info has no context.
        """
        if not 0 < tau < 1:
            raise ValueError(f"tau is an expectile and lies strictly between 0 and 1, got {tau}; 0.5 is the mean.")
        courses = [steps(speech, episode) for episode in episodes]
        counts: dict[View, Counter[Act]] = defaultdict(Counter)
        for view, act, _ in itertools.chain.from_iterable(courses):
            counts[view][act] += 1
        trace = float(backup) if isinstance(backup, int | float) else 0.0
        advantage = _advantages(courses, tau, gamma, trace)
        shares = {view: {act: n / own.total() for act, n in own.items()} for view, own in counts.items()}
        return cls(shares, {view: {act: advantage[view, act] for act in own} for view, own in counts.items()})

    def policy(
        self, view: View, greedy: bool = False, advantage_weight: float = 0.0, lm_top_p: float = 1.0
    ) -> Mapping[Act, float]:
        """The probability of each act, decoded in the way ``agents.decoding.LMPolicy`` decodes tokens."""
        if view not in self.share:
            return _ANYTHING
        share = _likeliest(self.share[view], lm_top_p)
        logits = np.array([np.log(p) + advantage_weight * self.advantage[view][act] for act, p in share.items()])
        if greedy:
            return {list(share)[int(logits.argmax())]: 1.0}
        chances = np.exp(logits - logits.max())
        return dict(zip(share, (chances / chances.sum()).tolist(), strict=True))

    def earns(self, task: ServiceDesk, **decoding: Any) -> float:
        """The exact mean return of a decoding over all goals; the arguments are those of :meth:`policy`."""
        return exact_value(task, lambda view, turn: self.policy(view, **decoding))


def _likeliest(share: Mapping[Act, float], top_p: float) -> dict[Act, float]:
    """The shares of the smallest set of acts with a total share of at least ``top_p``."""
    kept, before = {}, 0.0
    for act, p in sorted(share.items(), key=lambda item: -item[1]):
        if before >= top_p - _ROUNDING:
            break
        kept[act] = p
        before += p
    return kept


def _advantages(
    courses: Sequence[Sequence[Step]], tau: float, gamma: float, trace: float
) -> dict[tuple[View, Act], float]:
    """Q(s, a) - V(s) of all acts of the log: from V = 0 on, sweeps over the log until nothing changes."""
    states: dict[View, int] = {}
    choices: dict[tuple[View, Act], int] = {}
    shape = (max(map(len, courses)) + 1, len(courses))
    state, choice = np.full(shape, -1, np.int64), np.full(shape, -1, np.int64)  # [T + 1, B]; -1 past the end
    reward = np.zeros(shape)  # [T + 1, B]
    for b, course in enumerate(courses):
        for t, (view, act, earned) in enumerate(course):
            state[t, b] = states.setdefault(view, len(states))
            choice[t, b] = choices.setdefault((view, act), len(choices))
            reward[t, b] = earned
    taken, value, change = state >= 0, np.zeros(shape), np.inf  # [T + 1, B] twice
    while change > _CONVERGED:
        y = np.zeros(shape)  # [T + 1, B]
        for t in reversed(range(len(y) - 1)):
            ahead = (1 - trace) * value[t + 1] + trace * y[t + 1]
            y[t] = np.where(taken[t], reward[t] + gamma * ahead, 0.0)
        q = group_mean(y[taken], choice[taken])  # [K]
        v = group_expectile(q, state[taken], tau)  # [K]
        change = float(np.abs(v - value[taken]).max())
        value[taken] = v
    advantage = np.zeros(len(choices))
    advantage[choice[taken]] = q - v
    return dict(zip(choices, advantage.tolist(), strict=True))
