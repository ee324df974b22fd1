"""What agents answer in the same conversations, side by side: where a language model speaks, people look first."""

from __future__ import annotations

from collections.abc import Sequence

from agents.benchmark.report.outcome import Outcome, Table
from agents.benchmark.report.page import Section, render

SHOWN = 3  # conversations
Replies = dict[str, tuple[str, float]]
"""agent -> what it says, and what it is paid"""


def replies_section(outcome: Outcome) -> Section | None:
    """The first conversations that all agents answered, and their replies; None where there is no such conversation."""
    found = list(_by_conversation(outcome).values())[:SHOWN]
    if not found:
        return None
    title = f"{outcome.experiment.title}: the first replies"
    conversations = [(_spoken(messages), _table(said)) for messages, said in found]
    return Section(f"{outcome.experiment.name}-replies", title, render("replies.html", conversations=conversations))


def _by_conversation(outcome: Outcome) -> dict[str, tuple[list[dict[str, str]], Replies]]:
    """Every conversation that each agent's first training run answered, in the order of the first agent's."""
    answered: dict[str, tuple[list[dict[str, str]], Replies]] = {}
    for label, runs in outcome.cells.items():
        for sample in runs[0]["samples"]:
            *before, last = sample.get("messages") or [{"role": "", "content": ""}]
            if last["role"] == "assistant":
                _, said = answered.setdefault(repr(before), (before, {}))
                said.setdefault(label, (last["content"], sample["return"]))
    return {key: found for key, found in answered.items() if len(found[1]) == len(outcome.cells)}


def _spoken(messages: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """What was said before, without what the system told the agent."""
    return [message for message in messages if message["role"] != "system"]


def _table(said: Replies) -> Table:
    rows = tuple((label, reply or "(nothing)", f"{paid:.2f}") for label, (reply, paid) in said.items())
    return Table("", ("agent", "reply", "reward"), rows)
