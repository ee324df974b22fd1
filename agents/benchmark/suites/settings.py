"""Settings that the suites share: how values are learned, and how agents are decoded."""

from __future__ import annotations

from typing import Any

Decodings = tuple[dict[str, Any], ...]

ONE_TOKEN: dict[str, Any] = {"backup": "token"}
"""the paper's backup, with which the committed results were made"""

SLOW_HEADS: dict[str, Any] = {"head_lr": 1.0}
"""heads that learn at the language model's rate, as in the committed results"""

VALUES: dict[str, Any] = {
    "gamma": 1.0,
    "cql_weight": 0.001,
    "bc_weight": 1.0,
    "target_rate": 0.05,
    "num_q": 1,
    "zero_init": True,
    "bias_init": 0.0,
    "value_unit": 1.0,
    "trunk_gradient": 1.0,
}
"""how values were learned for the committed results, independent of the agents' defaults"""

LEARNED: dict[str, Any] = {}
"""how values are learned in all other suites: with the agents' defaults, except for what is named here"""

OFFLINE_GRPO: dict[str, Any] = {"weights": "topr", "behaviour": "start"}
"""how GRPO learns from a log of other policies, whose log-probabilities need not be known"""

GREEDY: Decodings = ({"greedy": True},)
SAMPLED: Decodings = ({},)
IMITATION: Decodings = ({"greedy": True}, {}, {"top_p": 0.95}, {"top_p": 0.8}, {"top_p": 0.5}, {"temperature": 0.5})
"""decodings tried for policies without values: greedy, sampled, and sampled from the likelier tokens"""


CANDIDATES: Decodings = (
    *({"candidates": 1, **way} for way in IMITATION),
    *({"candidates": k, **way} for k in (4, 8) for way in IMITATION[1:5]),
)
"""decodings tried for an agent that chooses among its samples; one candidate leaves it no choice"""
Q_WEIGHTS: Decodings = tuple({"q_weight": w, **way} for w in (0, 4, 16, 64) for way in IMITATION[:4])
"""decodings tried for Q-SFT; at 0 it speaks as it did before training"""


def weights(*advantage_weights: float, clip: float | None = 0.0, greedy: bool = True) -> Decodings:
    """Decodings to choose among. Clipped at 0 (the paper's setting), an advantage can only make a token less likely."""
    chosen: dict[str, Any] = {"greedy": True} if greedy else {}
    return tuple({**chosen, "advantage_weight": w, "advantage_clip": clip} for w in advantage_weights)


def perturbed(*weights: float, top_p: tuple[float, ...] = (0.95, 0.8), clip: float | None = None) -> Decodings:
    """Decodings of an agent with values to choose among.

    First come those of :data:`IMITATION`, without the values. So an agent with values has the same choices as one
    without, and more. Then comes each weight of the advantage, greedy and sampled, among the tokens that hold ``top_p``
    of the language model's probability: the values of other tokens were learned from few samples or none.
    """
    alone = ({"lm_top_p" if name == "top_p" else name: x for name, x in way.items()} for way in IMITATION)
    ways = [{**protocol, "lm_top_p": p} for protocol in (*GREEDY, *SAMPLED) for p in top_p]
    return (
        *({"advantage_weight": 0, **way} for way in alone),
        *({"advantage_weight": w, "advantage_clip": clip, **way} for w in weights for way in ways),
    )


def greedily(decodings: Decodings) -> Decodings:
    """The same decodings, made greedy."""
    return tuple({"greedy": True, **decoding} for decoding in decodings)


def ranked(*scores: str, k: int = 5) -> Decodings:
    """Decodings to choose among: each takes the best of ``k`` sampled candidates by one of the scores."""
    return tuple({"rank": score, "k": k} for score in scores)
