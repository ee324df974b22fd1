"""The exact fixed point of ILQL on a log, for a learner without generalisation: one table entry per state.

    Q(s, a) = mean over the log of y,   y = r + gamma ((1 - lambda) V(s') + lambda y')    (``value_learning``)
    V(s)    = the tau-expectile of Q(s, a) over the actions the log took in s

With backup "implicit", Q(s, a) inside an utterance is the minimum of L_Q of ``value_learning``. It lies between the
mean of y over the log and the tau-expectile of e, the values at the ends of the utterances that continue from there.

By default every history is a state of its own: the table is the prefix tree of the logged tokens. It is solved
backwards, without training. With tau = 1/2 the values are those of the behaviour (SARSA, Monte-Carlo returns), for any
lambda. With tau -> 1 and one step they are those of the best continuation in the log. With a backup to the end of the
utterance, the value of a token is the mean over its continuations in the log; only the choice between tokens is the
best. If a network has other values than the table, it generalises or has not converged.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agents.value_learning import Backup
from lang_envs import Episodes
from lang_envs.turns import turn_begins


def tabular_values(
    episodes: Episodes,
    tau: float,
    gamma: float,
    backup: Backup = "token",
    end_id: int | None = None,
    states: NDArray[np.int64] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Q and V of every logged action.

    Args:
        episodes: the log, B episodes and N tokens in all. A truncated episode counts as ended.
        tau: the expectile, 0 < tau < 1.
        gamma: discount per agent token.
        backup: how far a target looks before it bootstraps, as in ``agents.value_learning``.
        end_id: the token that ends an utterance; "utterance" and "implicit" need it if two utterances follow each
            other.
        states: [T, B], the number of the state of each episode after token t; T is the longest episode's length. Only
            states before and after an agent's token are read. None: every history is a state (:func:`prefixes`).

    Returns:
        ``(q, v)``, both [N] and aligned with ``episodes.tokens``: Q of the token taken and V of the state it was taken
        in; NaN at environment tokens.

    Raises:
        ValueError: tau outside (0, 1).
    """
    if not 0 < tau < 1:
        raise ValueError(f"tau is an expectile and lies strictly between 0 and 1, got {tau}; 0.5 is the mean.")
    lengths = np.diff(episodes.offsets)  # [B]
    state = prefixes(episodes) if states is None else states  # [T, B]
    trace = _traces(episodes, backup, end_id)  # [N] lambda
    value = np.zeros(len(lengths))  # [B] V of the episode's next decision, 0 after its last
    ahead = np.zeros(len(lengths))  # [B] y of that decision
    end = np.zeros(len(lengths))  # [B] e of that decision: the value at the end of its utterance
    q = np.full(len(episodes.tokens), np.nan)  # [N]
    v = np.full(len(episodes.tokens), np.nan)  # [N]
    for t in range(len(state) - 1, 0, -1):
        rows = np.flatnonzero(lengths > t)
        at = episodes.offsets[rows] + t
        chosen = episodes.is_action[at]
        rows, at = rows[chosen], at[chosen]
        if not len(rows):
            continue
        next_value = (1 - trace[at]) * value[rows] + trace[at] * ahead[rows]
        ahead[rows] = episodes.rewards[at] + gamma * next_value
        if backup == "implicit":
            inside = trace[at] == 1  # [rows]
            end[rows] = episodes.rewards[at] + gamma * end[rows]
            q[at] = _implicit(ahead[rows], end[rows], inside, state[t, rows], tau)
            end[rows[~inside]] = q[at[~inside]]
        else:
            q[at] = group_mean(ahead[rows], state[t, rows])
        v[at] = value[rows] = group_expectile(q[at], state[t - 1, rows], tau)
    return q, v


def _traces(episodes: Episodes, backup: Backup, end_id: int | None) -> NDArray[np.float64]:
    """The lambda of each token of the agent, [N]."""
    taken = np.flatnonzero(episodes.is_action)  # [K]
    trace = np.zeros(len(episodes.tokens))  # [N]
    if backup in ("utterance", "implicit"):
        trace[taken[:-1]] = ~turn_begins(taken, episodes.tokens[taken], end_id)[1:]
    elif backup != "token":
        trace[taken] = backup  # after an episode's last action both V and y are 0
    return trace


def prefixes(episodes: Episodes) -> NDArray[np.int64]:
    """Numbers the histories of the log, [T, B]: episodes that agree up to token t share a number; -1 after the end."""
    lengths = np.diff(episodes.offsets)  # [B]
    number = np.full((lengths.max(), len(lengths)), -1, np.int64)  # [T, B]
    before = np.zeros(len(lengths), np.int64)  # [B]
    vocabulary = int(episodes.tokens.max()) + 1
    for t in range(len(number)):
        rows = np.flatnonzero(lengths > t)
        key = before[rows] * vocabulary + episodes.tokens[episodes.offsets[rows] + t]
        before[rows] = np.unique(key, return_inverse=True)[1]
        number[t, rows] = before[rows]
    return number


def group_mean(x: NDArray[np.float64], group: NDArray[np.int64]) -> NDArray[np.float64]:
    """The mean of each element's group: x [n], group [n] -> [n]."""
    return (np.bincount(group, x) / np.maximum(np.bincount(group), 1))[group]


def _implicit(
    y: NDArray[np.float64],
    end: NDArray[np.float64],
    inside: NDArray[np.bool_],
    group: NDArray[np.int64],
    tau: float,
) -> NDArray[np.float64]:
    """The q that minimises the error of the "implicit" backup in each element's group: [n] each -> [n]."""
    best = np.where(inside, 2 * tau - 1, 0.0)  # [n] how much the expectile of ``end`` counts
    rounding = 1e-9 * max(np.abs(y).max(), np.abs(end).max())
    q, before = group_mean(y, group), None
    while before is None or not np.allclose(q, before, rtol=0, atol=rounding):
        weight = 2 * best * np.where(end > q, tau, 1 - tau)  # [n]
        total = np.bincount(group, weight * end + (1 - best) * y)
        q, before = (total / np.maximum(np.bincount(group, weight + 1 - best), 1e-300))[group], q
    return q


def group_expectile(x: NDArray[np.float64], group: NDArray[np.int64], tau: float) -> NDArray[np.float64]:
    """The tau-expectile of each element's group: x [n], group [n] -> [n].

    Iterates a weighted mean whose weights depend on the last mean. This is Newton's method on a piecewise quadratic
    function, and is exact once no element changes sides.
    """
    expectile = group_mean(x, group)
    above, before = x > expectile, None
    while before is None or not np.array_equal(above, before):
        weight = np.where(above, tau, 1 - tau)
        expectile = (np.bincount(group, weight * x) / np.maximum(np.bincount(group, weight), 1e-300))[group]
        # The tolerance keeps groups of equal values, whose expectile they all are, from changing sides by rounding.
        above, before = x > expectile + 1e-12 * np.abs(expectile), above
    return expectile
