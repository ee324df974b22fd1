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
IMITATION: Decodings = (*GREEDY, *SAMPLED, *({"top_p": p} for p in (0.95, 0.8, 0.5)), {"temperature": 0.5})
"""for agents without values, or that are decoded without them"""


def perturbed(
    *advantage_weights: float, top_p: tuple[float, ...] = (0.95, 0.8), clip: float | None = None
) -> Decodings:
    """Decodings of agents with values to choose among: without them as ``IMITATION``, and with each weight.

    ``top_p`` is what is left of the language model's probability before an advantage is added.
    """
    renamed = ({"lm_top_p" if name == "top_p" else name: x for name, x in d.items()} for d in IMITATION)
    return (
        *({**decoding, "advantage_weight": 0.0} for decoding in renamed),
        *(
            {**way, "advantage_weight": w, "advantage_clip": clip, "lm_top_p": p}
            for w in advantage_weights
            for way in ({"greedy": True}, {})
            for p in top_p
        ),
    )


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
