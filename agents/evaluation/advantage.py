"""Advantage quality: do learned values put the utterances of one state in the right order?

    rho_k(s) = Spearman correlation over u of  Q(s u_0 .. u_{k-1}, u_k)  and  Q_ref(s u_0 .. u_{k-1}, u_k)

s is a state in which an utterance begins. u runs over the utterances that are compared there. Of utterances that agree
up to u_k only one counts. Advantages differ from Q only by V(s), so their order is that of Q. The results are the means
over states of rho_k, and of the same at the last token of each utterance ("end"). 1 is the order of the reference, 0 is
no relation.

Losses do not show this order (QVal, arXiv:2606.32034). Most of the loss concerns how good a state is. Decoding depends
only on which token is better within a state.

The reference is exact if the task knows its values (``agents.evaluation.known_values``). Otherwise it is the mean
return of games that are played on from each utterance (``agents.evaluation.played_values``). For these, ``ceiling`` is
the highest correlation that any values can have with the noisy reference. It is computed from the correlation of two
halves of the games, corrected for their number (Spearman and Brown).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agents.decoding.candidate_scores import token_values
from agents.models.value_lm import ValueLM

Tokens = NDArray[np.int32]
Floats = NDArray[np.float64]
AT_ONCE = 256  # utterances that a model reads at once
LEAST = 3  # alternatives below which an order says little

REFERENCES = {
    "optimal": "optimal play",
    "behaviour": "the log's players",
    "played": "playing on by imitation",
}
"""names of the reference values, in words"""


@dataclass(frozen=True, eq=False)
class Alternatives:
    """The U utterances that are compared in one state, with their reference values."""

    history: Tokens
    """all tokens before the utterances [P]"""
    utterances: Sequence[Tokens]
    """U x [tokens of the utterance]"""
    reference: Sequence[Floats]
    """U x [tokens of the utterance], Q of each token; NaN if it is not known"""
    halves: tuple[Sequence[Floats], Sequence[Floats]] | None = None
    """the same from each half of the games, if the reference was played"""


def advantage_quality(model: ValueLM, states: Sequence[Alternatives]) -> dict[str, float]:
    """Mean Spearman correlation by token: ``0`` (the first), ``1`` .. and ``end``.

    If the reference was played, ``ceiling/0`` .. are given too. A token is left out if no state has three alternatives
    whose reference values differ.

    Raises:
        ValueError: the model has no values of tokens.
    """
    if not model.config.values_tokens:
        raise ValueError(f"The model has no advantages of tokens to compare: its q_head is {model.config.q_head!r}.")
    flat = [(state.history, u) for state in states for u in state.utterances]
    learned: list[Floats] = []
    for first in range(0, len(flat), AT_ONCE):
        histories, utterances = zip(*flat[first : first + AT_ONCE], strict=True)
        learned += token_values(model, histories, utterances)
    found: dict[str, list[float]] = {}
    of_state = iter(learned)
    for state in states:
        q = [next(of_state) for _ in state.utterances]
        for name, alternatives in _compared(state.utterances):
            reference, at = _there(state.reference, alternatives), _there(q, alternatives)
            if (rho := spearman(at, reference)) is None:
                continue
            found.setdefault(name, []).append(rho)
            if state.halves is not None:
                both = spearman(*(_there(half, alternatives) for half in state.halves))
                found.setdefault(f"ceiling/{name}", []).append(both or 0.0)
    means = {name: float(np.mean(rhos)) for name, rhos in found.items()}
    return {name: _ceiling(mean) if name.startswith("ceiling/") else mean for name, mean in sorted(means.items())}


def quality_beside(model: ValueLM, references: Mapping[str, Sequence[Alternatives]]) -> dict[str, float]:
    """``advantage_quality`` for each of several references, named ``behaviour/end`` and so on."""
    return {
        f"{name}/{token}": rho
        for name, states in references.items()
        for token, rho in advantage_quality(model, states).items()
    }


def first_token(names: Iterable[str]) -> str | None:
    """Among the names of the results, that of the first token at which the utterances differ."""
    return min(filter(str.isdecimal, names), key=int, default=None)


def _compared(utterances: Sequence[Tokens]) -> Iterator[tuple[str, list[tuple[int, int]]]]:
    """The alternatives at each token, as places (utterance, token): one for each different beginning up to there."""
    for k in range(max(map(len, utterances))):
        distinct = {u[: k + 1].tobytes(): (i, k) for i, u in enumerate(utterances) if len(u) > k}
        yield str(k), list(distinct.values())
    yield "end", [(i, len(u) - 1) for i, u in enumerate(utterances)]


def _there(values: Sequence[Floats], places: Sequence[tuple[int, int]]) -> Floats:
    return np.array([values[i][k] for i, k in places])


def spearman(x: Floats, y: Floats) -> float | None:
    """The rank correlation of x [U] and y [U] over the entries where both are known; 0 if all x are equal.

    None if fewer than three are known, or all y are equal.
    """
    from scipy.stats import spearmanr

    known = ~(np.isnan(x) | np.isnan(y))
    x, y = x[known], y[known]
    if len(y) < LEAST or np.ptp(y) == 0:
        return None
    return float(spearmanr(x, y).statistic) if np.ptp(x) > 0 else 0.0


def _ceiling(half: float) -> float:
    """The highest correlation that any values can have with a reference whose halves have this correlation."""
    half = max(0.0, half)
    return float(np.sqrt(2 * half / (1 + half)))
