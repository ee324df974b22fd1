"""What every agent says from the same start, side by side, with what it earns: numbers hide what people see at once.

Samples of one start have the seed of its episode in common. The first sample of every agent and baseline is of the
first reported start.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from agents.benchmark.report.outcome import Outcome, Result
from agents.benchmark.report.page import render
from agents.benchmark.report.verdict import leaders

if TYPE_CHECKING:
    from markupsafe import Markup

STARTS = 3  # starts that are shown
OPEN = 6  # transcripts of a start that are seen at once; of more, first those that the sentence above is about
_HEAD, _ACTION = '<p class="episode">', '<span class="act"'


class Transcript(NamedTuple):
    """What one agent or baseline made of a start."""

    label: str
    trained: bool
    paid: float
    """its return"""
    said: str
    """HTML of one paragraph, escaped: its tokens, coloured, and what answered it, from its first token on"""


class Start(NamedTuple):
    """One start, and what everyone made of it."""

    before: Sequence[Mapping[str, str]]
    """messages that the agent saw, where it talks with somebody, without those of the system"""
    seen: str
    """HTML of the tokens it saw, where there are no messages"""
    first: list[Transcript]
    """those that are seen at once"""
    others: list[Transcript]


def starts(outcome: Outcome) -> list[Start]:
    """The starts that most agents have in common, the first reported one before all; none where nothing is stored."""
    found: dict[object, dict[str, Result]] = {}
    for label, samples in _samples(outcome).items():
        for place, sample in enumerate(samples):
            key = sample.get("seed") if place else "first"
            if key is not None:
                found.setdefault(key, {})[label] = sample
    named = leaders(outcome)
    most_first = sorted(found.items(), key=lambda item: (item[0] != "first", -len(item[1])))
    return [_start(outcome, by_label, named) for _, by_label in most_first[:STARTS]]


def transcripts(outcome: Outcome, of: str = "") -> Markup | None:
    """The starts as a part of a page, None where there are none; ``of`` names the experiment if nothing else does."""
    found = starts(outcome)
    if not found:
        return None
    everyone = [one for start in found for one in (*start.first, *start.others)]
    coloured = any(f"{_ACTION} style" in one.said for one in everyone)
    return render("transcripts.html", starts=found, coloured=coloured, of=of)


def _samples(outcome: Outcome) -> dict[str, Sequence[Result]]:
    """Of every agent's first training run, and of every baseline that has any."""
    of_agents = {label: results[0].get("samples", []) for label, results in outcome.cells.items()}
    return of_agents | {label: result.get("samples", []) for label, result in outcome.baselines.items()}


def _start(outcome: Outcome, samples: Mapping[str, Result], named: Sequence[str]) -> Start:
    inside = {label: sample["html"].removeprefix(_HEAD) for label, sample in samples.items()}
    heads = {html.partition(_ACTION)[0] for html in inside.values()}
    shared = heads.pop() if len(heads) == 1 else ""
    before: Sequence[Mapping[str, str]] = next(
        (sample["before"] for sample in samples.values() if sample.get("before")), []
    )
    said = [
        Transcript(label, label in outcome.cells, sample["return"], _HEAD + inside[label].removeprefix(shared))
        for label, sample in samples.items()
    ]
    named_first = sorted(said, key=lambda one: one.label not in named)
    at_once = [one for one in said if one in named_first[:OPEN]]
    seen = f"{_HEAD}{shared}</p>" if shared and not before else ""
    spoken = [message for message in before if message["role"] != "system"]
    return Start(spoken, seen, at_once, [one for one in said if one not in at_once])
