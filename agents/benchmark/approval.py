"""Whether people approve of replies of a kind: a judge learned from verdicts that no agent learns from.

    P(approved | reply r) = sigmoid(w . e(r) + b)              e is a sentence embedding

Logistic regression with a penalty on w. It is a small model of two hundred verdicts: read its area under the ROC curve
in the dialogues where agents are judged, of which it has seen none, before its opinions of them.

It knows kinds of replies, and not whether a reply is right. The context is left out on purpose: it is the same for
every agent, and no context here has verdicts on two replies, from which one could learn which of them fits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from agents.evaluation.stats import probability_of_improvement
from lang_envs.corpora.dialogues.by_name import verdicts
from lang_envs.rewards.encoder import Encoder

Floats = NDArray[np.float64]
LEARNED_FROM, JUDGED_ON = "validation", "test"
_PENALTY = 1.0  # of the squared weights, beside the sum over verdicts


@dataclass(frozen=True, eq=False)
class Judge:
    """Judges replies.

    Attributes:
        weights: [D + 1], the last is b.
        auc: on the verdicts of ``JUDGED_ON``: the probability that an approved reply is judged above another.
    """

    weights: Floats
    auc: float

    def __call__(self, replies: Sequence[str]) -> Floats:
        """Probabilities of approval, [n]."""
        return 1 / (1 + np.exp(-features(replies) @ self.weights))


def features(replies: Sequence[str]) -> Floats:
    """What is judged, [n, D + 1]."""
    said = _encoder().embed(list(replies))  # [n, D]
    return np.concatenate([said, np.ones((len(said), 1))], 1).astype(np.float64)


@cache
def _encoder() -> Encoder:
    """One for all judgements, which share texts."""
    return Encoder()


@cache
def judge(path: str | None = None) -> Judge:
    """The judge of Taskmaster's replies, learned from the verdicts of ``LEARNED_FROM``; requests do not count.

    Args:
        path: of the files with verdicts; by default those in the folder that ``LANG_ENVS_DATA`` names.

    Raises:
        CorpusError: where there are none.
    """
    x, y = _verdicts(LEARNED_FROM, path)
    weights = fit(x, y)
    held_out, approved = _verdicts(JUDGED_ON, path)
    score = held_out @ weights  # [n]
    return Judge(weights, probability_of_improvement(score[approved > 0], score[approved == 0]))


def _verdicts(split: str, path: str | None) -> tuple[Floats, Floats]:
    """Features [n, D + 1] and verdicts [n] of replies."""
    found = [v for v in verdicts(split, path) if not v.is_api_call]
    return features([v.reply for v in found]), np.array([v.reward for v in found])


def fit(x: Floats, y: Floats) -> Floats:
    """The weights [D'] that make verdicts y [n], 0 or 1, likeliest given x [n, D'], less the penalty on all but b."""
    from scipy.optimize import minimize

    def loss(w: Floats) -> tuple[float, Floats]:
        z = x @ w  # [n]
        shrunk = np.append(w[:-1], 0.0)  # [D']
        value = np.logaddexp(0, z).sum() - y @ z + _PENALTY / 2 * shrunk @ shrunk
        return float(value), x.T @ (1 / (1 + np.exp(-z)) - y) + _PENALTY * shrunk

    return minimize(loss, np.zeros(x.shape[1]), jac=True, method="L-BFGS-B").x
