"""What every method would learn from a log of ServiceDesk if it knew each state by heart: one table entry per state.

A state is how things stand for the desk (``lang_envs.tasks.service_desk_acts.View``) and the turn, an action an act.

    pi_beta(a | s) = the share of a among the acts that the log took in s
    Q, V           = the fixed point of ``tabular`` on these states

    policy   log pi(a | s) = log pi_beta(a | s) + advantage_weight (Q(s, a) - V(s)) + const

tau = 1/2 is SARSA; with ``backup=1.0`` Monte Carlo; a higher tau is ILQL. Imitation is the policy at a weight of 0; of
a part of the log it is %BC. Where the log never was, any act is as good as another.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from agents.evaluation.tabular import tabular_values
from agents.value_learning import Backup
from lang_envs import Episode, Episodes
from lang_envs.speech import Speech
from lang_envs.tasks.service_desk import ServiceDesk
from lang_envs.tasks.service_desk_acts import Act, View, act_of, desk_of
from lang_envs.tasks.service_desk_rules import begun, respond
from lang_envs.tasks.service_desk_speech import read

_FOREVER = 99  # the patience of a user whose conversation is told again: when they left is in the log
_ANYTHING: Mapping[Act, float] = {act: 1 / len(Act) for act in Act}
State = tuple[View, int]


def acts(speech: Speech, episode: Episode) -> list[tuple[View, Act]]:
    """How things stood and what was done, turn by turn, in an episode of the speech's task."""
    task, end = speech.task, int(speech.tokenizer.eos_token_id)
    assert isinstance(task, ServiceDesk)
    context = episode.info["context"]
    state, _ = begun(context, task.goals[context], _FOREVER)
    found = []
    for span in episode.utterances(end, task.max_utterance_tokens):
        said = episode.tokens[span].tolist()
        heard = read(state.goal.service, speech.hear(said[:-1] if said[-1] == end else said))
        desk = desk_of(state)
        found.append((desk.view, act_of(desk, heard)))
        state, _ = respond(state, heard)
    return found


@dataclass(frozen=True)
class DeskTable:
    """By state, of each act that the log took in it: its share, and what it is worth more than the state."""

    share: Mapping[State, Mapping[Act, float]]
    advantage: Mapping[State, Mapping[Act, float]]

    @classmethod
    def of(
        cls,
        task: ServiceDesk,
        episodes: Sequence[Episode],
        tau: float = 0.5,
        gamma: float = 1.0,
        backup: Backup = "token",
    ) -> DeskTable:
        """Learns from a log of the task, in its own tokens. ``gamma`` is the discount per turn.

        Raises:
            ValueError: tau outside (0, 1).
        """
        speech = Speech(task, task.tokenizer())
        done = [acts(speech, episode) for episode in episodes]
        q, v = _values(done, episodes, tau, gamma, backup)
        counts: dict[State, dict[Act, int]] = defaultdict(lambda: defaultdict(int))
        advantage: dict[State, dict[Act, float]] = defaultdict(dict)
        steps = ((view, act, turn) for course in done for turn, (view, act) in enumerate(course))
        for (view, act, turn), worth, of_state in zip(steps, q, v, strict=True):
            counts[view, turn][act] += 1
            advantage[view, turn][act] = float(worth - of_state)
        shares = {at: {act: n / sum(own.values()) for act, n in own.items()} for at, own in counts.items()}
        return cls(shares, dict(advantage))

    def policy(self, view: View, turn: int, weight: float = 0.0, greedy: bool = False) -> Mapping[Act, float]:
        """The probability of each act."""
        share = self.share.get((view, turn))
        if share is None:
            return _ANYTHING
        advantage = self.advantage[view, turn]
        logits = np.array([np.log(p) + weight * advantage[act] for act, p in share.items()])
        if greedy:
            return {list(share)[int(logits.argmax())]: 1.0}
        chances = np.exp(logits - logits.max())
        return dict(zip(share, (chances / chances.sum()).tolist(), strict=True))


def _values(
    done: Sequence[Sequence[tuple[View, Act]]], episodes: Sequence[Episode], tau: float, gamma: float, backup: Backup
) -> tuple[np.ndarray, np.ndarray]:
    """Q and V of each act of the log, [K]: as of episodes of two tokens a turn, of which one says how things stand."""
    numbers: dict[object, int] = {}
    longest = max(map(len, done))
    states = np.full((2 * longest, len(done)), -1, np.int64)  # [T, B]
    told = []
    for b, (course, episode) in enumerate(zip(done, episodes, strict=True)):
        for turn, (view, act) in enumerate(course):
            states[2 * turn, b] = numbers.setdefault(view, len(numbers))
            states[2 * turn + 1, b] = numbers.setdefault((view, act), len(numbers))
        rewards = np.zeros(2 * len(course), np.float32)
        rewards[1::2] = episode.rewards[episode.rewards != 0]
        is_action = np.arange(len(rewards)) % 2 == 1
        told.append(Episode(np.zeros(len(rewards), np.int32), is_action, rewards, True, False))
    q, v = tabular_values(Episodes.from_list(told), tau, gamma, backup, states=states)
    taken = ~np.isnan(q)
    return q[taken], v[taken]
