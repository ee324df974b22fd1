"""What agents answer in the same conversations, side by side: where a language model speaks, people look first."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from agents.benchmark.report.outcome import Outcome, Table
from agents.benchmark.report.page import Section

SHOWN = 3  # conversations
Replies = dict[str, tuple[str, float]]
"""agent -> what it says, and what it is paid"""


def replies_section(outcome: Outcome) -> Section | None:
    """The first conversations that all agents answered, and their replies; None where there is no such conversation."""
    found = list(_by_conversation(outcome).values())[:SHOWN]
    if not found:
        return None
    title = f"{outcome.experiment.title}: the first replies"
    return Section(
        f"{outcome.experiment.name}-replies", title, "\n".join(_shown(messages, said) for messages, said in found)
    )


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


def _shown(messages: Sequence[dict[str, str]], said: Replies) -> str:
    spoken = [f"<b>{escape(m['role'])}</b> {escape(m['content'])}" for m in messages if m["role"] != "system"]
    rows = tuple((label, reply or "(nothing)", f"{paid:.2f}") for label, (reply, paid) in said.items())
    table = Table("", ("agent", "reply", "reward"), rows).html()
    return f'<div class="episode">{"<br>".join(spoken) or "(nobody has spoken)"}</div>{table}'
