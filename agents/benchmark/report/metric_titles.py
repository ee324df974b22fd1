"""Metrics of a training in words, as titles of their panels."""

from __future__ import annotations

from agents.benchmark.report.tables import EXACT
from agents.evaluation.advantage import REFERENCES

_LOSSES = {
    "bc": "imitation",
    "q": "Q",
    "v": "V",
    "cql": "CQL's term",
    "actor": "actor",
    "policy": "policy",
    "value": "value",
    "refit": "Refit",
}


def title(metric: str) -> str:
    """In words, in two lines where it takes so many; what is not known as it is written."""
    family, _, rest = metric.removeprefix("eval/").partition("/")
    if metric == "data/return":
        return "return of the episodes learned from"
    if family == "loss" and rest:
        return f"loss: {_LOSSES.get(rest, rest.upper().replace('_', '-'))}"
    if family == "advantage" and rest.count("/") == 1:
        reference, place = rest.split("/")
        token = "last token" if place == "end" else "first token"
        return f"advantage quality, {token},\nbeside {REFERENCES.get(reference, reference)}"
    return EXACT.get(f"{family}/{rest}", ": ".join(filter(None, (family, rest.replace("/", ", ")))).replace("_", " "))
