"""What the suites have in common: how values are learned, and ways to decode."""

from __future__ import annotations

from typing import Any

Decodings = tuple[dict[str, Any], ...]

ONE_TOKEN: dict[str, Any] = {"backup": "token"}
"""the paper's backup, which the committed results of SARSA were made with"""

VALUES: dict[str, Any] = {
    "gamma": 1.0,
    "cql_weight": 0.001,
    "bc_weight": 1.0,
    "target_rate": 0.05,
    "num_q": 1,
    "zero_init": True,
    "bias_init": 0.0,
    "value_unit": 1.0,
}
"""how values were learned for the committed results, whatever the agents' defaults are"""

GREEDY: Decodings = ({"greedy": True},)
SAMPLED: Decodings = ({},)


def weights(*advantage_weights: float, clip: float | None = 0.0, greedy: bool = True) -> Decodings:
    """Decodings to choose among; clipped at 0 (the paper's setting) values only ever push a token down."""
    chosen: dict[str, Any] = {"greedy": True} if greedy else {}
    return tuple({**chosen, "advantage_weight": w, "advantage_clip": clip} for w in advantage_weights)


def greedily(decodings: Decodings) -> Decodings:
    """The same decodings, each saying the likeliest token."""
    return tuple({"greedy": True, **decoding} for decoding in decodings)


def ranked(*scores: str, k: int = 5) -> Decodings:
    """The best of ``k`` sampled candidates by one of the scores, to be chosen."""
    return tuple({"rank": score, "k": k} for score in scores)
