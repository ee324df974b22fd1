"""Exact learners for Wordle: each method as a table with one entry per state of the log.

A state is the set of words that agree with all feedback, the turn, and the letters of the guess so far
(``wordle_states``). Two games with the same remaining words are in the same state, even if their guesses differ. Only a
method that generalises over the spelling of words can learn more from the log.

    pi_beta(a | s) = the share of a among the tokens that the log took in s
    Q, V           = the fixed point of ``tabular`` on these states

    policy   log pi(a | s) = log pi_beta(a | s) + advantage_weight (Q(s, a) - V(s)) + const       token by token

tau = 1/2 is SARSA, or Monte Carlo with ``backup=1.0``. A higher tau is ILQL. Imitation is the policy with a weight of
0; on a part of the log it is %BC. In a state that the log does not contain, the guess is a random word that agrees with
all feedback.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agents.evaluation.tabular import tabular_values
from agents.evaluation.wordle_states import SAID, TURN, Keys, LoggedStates, keys_of, standing
from agents.value_learning import Backup
from lang_envs import Episodes
from lang_envs.tasks.wordle import Wordle
from lang_envs.tasks.wordle_game import END, VOCABULARY

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
_ROUNDING = 1e-9  # of sums of probabilities


@dataclass(frozen=True, eq=False)
class WordleTable:
    """N states with the E tokens that the log took in them; state n has the tokens ``first[n]`` to ``first[n + 1]``.

    Attributes:
        task: the game.
        roots: [S] sorted fingerprints of the states before a guess.
        root_states: [S] numbers of these states.
        first: [N + 1].
        token: [E] in the order of the vocabulary within a state.
        child: [E] number of the state that the token leads to; -1 for a guess's end.
        share: [E] pi_beta.
        q: [E] Q of the token.
        v: [N] V of the state.
    """

    task: Wordle
    roots: Keys
    root_states: Ints
    first: Ints
    token: Ints
    child: Ints
    share: Floats
    q: Floats
    v: Floats

    @classmethod
    def of(
        cls, task: Wordle, games: Episodes, tau: float = 0.5, gamma: float = 0.99, backup: Backup = "token"
    ) -> WordleTable:
        """Learns from a log.

        Args:
            task: the game that was played, with the same words and rule of feedback.
            games: the log.
            tau: the expectile, 0 < tau < 1.
            gamma: discount per token of the agent.
            backup: how far a target looks ahead, as in ``agents.value_learning``.

        Raises:
            ValueError: a guess is no word of the list, or tau is no expectile.
        """
        logged = LoggedStates.of(task, games)
        q, v = tabular_values(games, tau, gamma, backup, VOCABULARY[END], logged.number)
        return _table(task, games, logged, q, v)

    def states(self, consistent: NDArray[np.bool_], turn: int) -> Ints:
        """The states [n] in which these words [n, W] agree with all feedback; -1 for states outside the log."""
        keys = keys_of(consistent, turn)
        at = np.minimum(np.searchsorted(self.roots, keys), len(self.roots) - 1)
        return np.where(self.roots[at] == keys, self.root_states[at], -1)

    def q_after(self, history: NDArray[np.int32]) -> Floats:
        """Q [35] of each next token after a history; NaN for those that the log never took there.

        Raises:
            ValueError: the history does not begin like a game of Wordle.
        """
        consistent, turn, said = standing(self.task, history)
        q, state = np.full(len(VOCABULARY), np.nan), int(self.states(consistent[None], turn)[0])
        for token in said:
            tokens = self._tokens(state)
            found = np.flatnonzero(self.token[tokens] == token)
            state = int(self.child[tokens][found[0]]) if len(found) else -1
        q[self.token[self._tokens(state)]] = self.q[self._tokens(state)]
        return q

    def _tokens(self, state: int) -> slice:
        return slice(self.first[state], self.first[state + 1]) if state >= 0 else slice(0)

    def speech(
        self,
        greedy: bool = False,
        advantage_weight: float = 0.0,
        advantage_clip: float | None = None,
        lm_top_p: float = 1.0,
        temperature: float = 1.0,
        top_p: float = 1.0,
    ) -> Floats:
        """The probability [E] of each token in its state, decoded in the way of ``agents.decoding.LMPolicy``."""
        score = np.log(np.where(self._likeliest(self.share, lm_top_p), self.share, 1e-300))  # [E]
        if advantage_weight:
            gain = advantage_weight * (self.q - self.v[self._state])  # [E]
            score = score + (gain if advantage_clip is None else np.minimum(gain, advantage_clip))
        score = np.where(self._likeliest(self.share, lm_top_p), score / temperature, -np.inf)
        if greedy:
            best = np.flatnonzero(score == np.maximum.reduceat(score, self.first[:-1])[self._state])
            chosen = np.zeros(len(score))
            chosen[best[np.unique(self._state[best], return_index=True)[1]]] = 1.0  # the first of equals
            return chosen
        p = self._normalised(np.exp(score - np.maximum.reduceat(score, self.first[:-1])[self._state]))
        return self._normalised(np.where(self._likeliest(p, top_p), p, 0.0))

    def _likeliest(self, p: Floats, top_p: float) -> NDArray[np.bool_]:
        """Whether each token [E] is in the smallest set of its state's tokens with a probability of ``top_p``."""
        if top_p >= 1:
            return p > 0
        order = np.lexsort((-p, self._state))
        before = np.cumsum(p[order]) - p[order]  # [E] of likelier tokens, those of earlier states included
        kept = np.empty(len(p), np.bool_)
        kept[order] = before - before[self.first[:-1]][self._state] < top_p - _ROUNDING
        return kept

    def _normalised(self, p: Floats) -> Floats:
        return p / np.add.reduceat(p, self.first[:-1])[self._state]

    @property
    def _state(self) -> Ints:
        """The state of each token, [E]."""
        return np.repeat(np.arange(len(self.first) - 1), np.diff(self.first))


def _table(task: Wordle, games: Episodes, logged: LoggedStates, q: Floats, v: Floats) -> WordleTable:
    """The table of a log: a level of states for each token of each turn, one after another."""
    sizes = np.diff(games.offsets)
    levels = [TURN * turn + place for turn in range(len(logged.roots)) for place in range(SAID)]
    parents, tokens, children, counts, values, state_values = [], [], [], [], [], []
    roots, offset = [], 0
    for level in levels:
        rows = np.flatnonzero(sizes > level + 1)
        rows = rows[games.is_action[games.offsets[rows] + level + 1]]
        before, after = logged.number[level, rows], logged.number[level + 1, rows]
        _, some, count = np.unique(after, return_index=True, return_counts=True)
        states, of = np.unique(before, return_index=True)
        at = games.offsets[rows] + level + 1
        if level % TURN == 0:
            roots.append(offset + np.arange(len(states)))
        parents.append(offset + before[some])
        tokens.append(games.tokens[at[some]].astype(np.int64))
        ends = level % TURN == SAID - 1
        children.append(np.full(len(some), -1) if ends else offset + len(states) + np.arange(len(some)))
        counts.append(count)
        values.append(q[at[some]])
        state_values.append(v[at[of]])
        offset += len(states)
    parent, token = np.concatenate(parents), np.concatenate(tokens)
    order = np.lexsort((token, parent))
    count = np.concatenate(counts)[order].astype(np.float64)
    share = count / np.bincount(parent, np.concatenate(counts))[parent[order]]
    keys = np.concatenate(logged.roots)
    by_key = np.argsort(keys)
    return WordleTable(
        task=task,
        roots=keys[by_key],
        root_states=np.concatenate(roots)[by_key],
        first=np.concatenate([[0], np.cumsum(np.bincount(parent, minlength=offset))]),
        token=token[order],
        child=np.concatenate(children)[order],
        share=share,
        q=np.concatenate(values)[order],
        v=np.concatenate(state_values),
    )
