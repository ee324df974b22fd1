"""Shows transcripts of every agent from the same start, side by side, with their returns.

Samples of the same start have the same seed. The first sample of every agent and baseline is of the first reported
start.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from agents.benchmark.report.outcome import Outcome, Result
from agents.benchmark.report.page import render
from agents.benchmark.report.verdict import leaders

if TYPE_CHECKING:
    from markupsafe import Markup

STARTS = 3  # number of starts that are shown
OPEN = 6  # transcripts of a start that are open at once; those that the opening sentence names come first
_HEAD, _ACTION = '<p class="episode">', '<span class="act"'


class Transcript(NamedTuple):
    """The episode of one agent or baseline from a start."""

    label: str
    trained: bool
    paid: float
    """the return of the episode"""
    said: str
    """HTML of one paragraph, escaped: the coloured tokens of the agent and the environment, from the agent's first
    token on if all transcripts are equal before it"""


class Start(NamedTuple):
    """One start, and the transcripts of all agents and baselines from it."""

    before: Sequence[Mapping[str, str]]
    """in a conversation, the messages before the agent's first token, without system messages"""
    seen: str
    """otherwise, HTML of the tokens before the agent's first token"""
    first: list[Transcript]
    """transcripts that are open at once"""
    others: list[Transcript]
    """transcripts that the reader can open"""


def starts(outcome: Outcome) -> list[Start]:
    """The starts to show: the first reported one, then those that most agents share; empty if no samples are stored."""
    found: dict[object, dict[str, Result]] = {}
    for label, samples in _samples(outcome).items():
        for place, sample in enumerate(samples):
            key = sample.get("seed") if place else "first"
            if key is not None:
                found.setdefault(key, {})[label] = sample
    named = leaders(outcome)
    most_first = sorted(found.items(), key=lambda item: (item[0] != "first", -len(item[1])))
    return [_start(outcome, by_label, named) for _, by_label in most_first[:STARTS]]


def transcripts(outcome: Outcome, of: str = "", level: int = 4) -> Markup | None:
    """The starts as HTML.

    Args:
        outcome: results of the experiment.
        of: title of the experiment, if the page does not say it above.
        level: level of the headings of agents.

    Returns:
        The HTML; None if no samples are stored.
    """
    found = starts(outcome)
    if not found:
        return None
    everyone = [one for start in found for one in (*start.first, *start.others)]
    coloured = any(f"{_ACTION} style" in one.said for one in everyone)
    return render("transcripts.html", starts=found, coloured=coloured, of=of, level=level)


def _samples(outcome: Outcome) -> dict[str, Sequence[Result]]:
    """The samples of every agent's first training run and of every baseline, by label."""
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
