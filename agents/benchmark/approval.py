"""Predicts whether people approve of a reply: a judge that is trained on verdicts that no agent learns from.

    P(approved | reply r) = sigmoid(w . e(r) + b)              e is a sentence embedding

The judge is a logistic regression with a penalty on w, a small model that is trained on two hundred verdicts. Before
its verdicts on agents, read its area under the ROC curve. That is measured on the dialogues in which agents are judged,
and the judge was trained on none of them.

The judge knows kinds of replies, and not whether a reply is right. It does not read the context. The context is the
same for every agent. No context here has verdicts on two replies, so the data do not show which reply fits a context.
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
_PENALTY = 1.0  # factor of the squared weights in the loss, which is a sum over verdicts


@dataclass(frozen=True, eq=False)
class Judge:
    """Judges replies.

    Attributes:
        weights: [D + 1], the last is b.
        auc: area under the ROC curve on the verdicts of ``JUDGED_ON``: the probability that an approved reply scores
            above one that was not approved.
    """

    weights: Floats
    auc: float

    def __call__(self, replies: Sequence[str]) -> Floats:
        """Probabilities of approval, [n]."""
        return 1 / (1 + np.exp(-features(replies) @ self.weights))


def features(replies: Sequence[str]) -> Floats:
    """The inputs of the regression, [n, D + 1]: the embedding of each reply, and 1 for b."""
    said = _encoder().embed(list(replies))  # [n, D]
    return np.concatenate([said, np.ones((len(said), 1))], 1).astype(np.float64)


@cache
def _encoder() -> Encoder:
    """One encoder for all calls, because it keeps the embeddings of recent texts."""
    return Encoder()


@cache
def judge(path: str | None = None) -> Judge:
    """The judge of Taskmaster's replies, trained on the verdicts of ``LEARNED_FROM``; API calls are left out.

    Args:
        path: folder of the files with verdicts; by default the one in the folder that ``LANG_ENVS_DATA`` names.

    Raises:
        CorpusError: there are no such files.
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
    """The weights [D'] with the highest penalised likelihood of verdicts y [n], 0 or 1, given x [n, D'].

    b, the last weight, has no penalty.
    """
    from scipy.optimize import minimize

    def loss(w: Floats) -> tuple[float, Floats]:
        z = x @ w  # [n]
        shrunk = np.append(w[:-1], 0.0)  # [D']
        value = np.logaddexp(0, z).sum() - y @ z + _PENALTY / 2 * shrunk @ shrunk
        return float(value), x.T @ (1 / (1 + np.exp(-z)) - y) + _PENALTY * shrunk

    return minimize(loss, np.zeros(x.shape[1]), jac=True, method="L-BFGS-B").x
