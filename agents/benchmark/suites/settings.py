"""What the suites have in common: how values are learned, and ways to decode."""

from __future__ import annotations

from typing import Any

Decodings = tuple[dict[str, Any], ...]

ONE_TOKEN: dict[str, Any] = {"backup": "token"}
"""the paper's backup, which results that stay were made with"""

SLOW_HEADS: dict[str, Any] = {"head_lr": 1.0}
"""heads that learn at the language model's rate, as in results that stay"""

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
"""how values were learned for results that stay, whatever the agents' defaults are"""

LEARNED: dict[str, Any] = {}
"""how values are learned in all other suites: as the agents' defaults say, but for what is named here"""

OFFLINE_GRPO: dict[str, Any] = {"weights": "topr", "behaviour": "start"}
"""how GRPO learns from a log of others, whose log-probabilities need not be known"""

GREEDY: Decodings = ({"greedy": True},)
SAMPLED: Decodings = ({},)
IMITATION: Decodings = ({"greedy": True}, {}, {"top_p": 0.95}, {"top_p": 0.8}, {"top_p": 0.5}, {"temperature": 0.5})
"""what policies without values are chosen among: greedy, sampled, and sampled among the likelier tokens"""


def weights(*advantage_weights: float, clip: float | None = 0.0, greedy: bool = True) -> Decodings:
    """Decodings to choose among; clipped at 0 (the paper's setting) values only ever push a token down."""
    chosen: dict[str, Any] = {"greedy": True} if greedy else {}
    return tuple({**chosen, "advantage_weight": w, "advantage_clip": clip} for w in advantage_weights)


def perturbed(*weights: float, top_p: tuple[float, ...] = (0.95, 0.8), clip: float | None = None) -> Decodings:
    """Decodings of an agent with values to choose among.

    First the grid of :data:`IMITATION` with the values left out, so that what they add is seen beside as careful a
    choice without them. Then each weight of the advantage, greedy and sampled, among the tokens that hold ``top_p`` of
    the language model's probability: values are learned from nothing where the log hardly goes.
    """
    alone = ({"lm_top_p" if name == "top_p" else name: x for name, x in way.items()} for way in IMITATION)
    ways = [{**protocol, "lm_top_p": p} for protocol in (*GREEDY, *SAMPLED) for p in top_p]
    return (
        *({"advantage_weight": 0, **way} for way in alone),
        *({"advantage_weight": w, "advantage_clip": clip, **way} for w in weights for way in ways),
    )


def greedily(decodings: Decodings) -> Decodings:
    """The same decodings, each saying the likeliest token."""
    return tuple({"greedy": True, **decoding} for decoding in decodings)


def ranked(*scores: str, k: int = 5) -> Decodings:
    """The best of ``k`` sampled candidates by one of the scores, to be chosen."""
    return tuple({"rank": score, "k": k} for score in scores)
