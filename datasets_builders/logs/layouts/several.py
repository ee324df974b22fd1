"""Layouts with several replies to one prompt in each row, and a rating or votes for each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from datasets_builders.logs.cells import number, parsed, plain, text, value_at
from datasets_builders.logs.layouts.answers import prompt_of, reply_of
from datasets_builders.logs.layouts.layout import Layout, Read
from datasets_builders.logs.table import KNOWN, Table
from datasets_builders.logs.talk import Fault, Row, Talk, replies_of, said
from lang_envs.corpora.records import shown


def _completions(table: Table) -> Read:
    prompt, inside = table.column("prompt"), _inside(table)
    rewards = inside.rewards()

    def read(row: Row) -> Iterator[Talk]:
        heard = prompt_of(row.get(prompt))
        for one in _list(row.get("completions")):
            if not isinstance(one, Mapping):
                raise Fault("a completion is no object", shown(one))
            rest = reply_of(next((one[name] for name in KNOWN["response"] if name in one), one.get("text")))
            policy = next((str(one[name]) for name in KNOWN["policy"] if one.get(name)), None)
            yield Talk(heard, rest, rewards(one, replies_of(rest)), policy)

    return read


def _list(value: Any) -> list[Any]:
    value = parsed(value, "completions") if isinstance(value, str) else value
    if not isinstance(value, list | tuple) or not value:
        raise Fault("no completions", shown(value))
    return list(value)


def _inside(table: Table) -> Table:
    """The fields of the completions, as if they were columns."""
    value = table.sample.get("completions")
    items = value if isinstance(value, list | tuple) else []
    return Table([one for one in items if isinstance(one, Mapping)], table.named)


def _completions_rewards(table: Table) -> str:
    words = _inside(table).rewards_in_words()
    return words and f"{words} of each completion"


def _shp(table: Table) -> Read:
    named = table.named.columns.get("prompt", "history")

    def read(row: Row) -> Iterator[Talk]:
        heard = text(row.get(named), "history")
        for side in "AB":
            reply = said(text(row.get(f"human_ref_{side}"), f"reply {side}"))
            yield Talk(heard, reply, (_vote(row, f"score_{side}"),))

    return read


def _webgpt(table: Table) -> Read:
    def read(row: Row) -> Iterator[Talk]:
        asked = row.get("question")
        heard = text(asked.get("full_text") if isinstance(asked, Mapping) else asked, "question")
        for side in "01":
            reply = said(text(row.get(f"answer_{side}"), f"answer {side}"))
            yield Talk(heard, reply, (_vote(row, f"score_{side}"),))

    return read


def _vote(row: Row, name: str) -> float:
    found = number(value_at(row, name))
    if found is None:
        raise Fault("no rating", f"in {name}")
    return found


LAYOUTS = (
    Layout(
        "ultrafeedback",
        "prompt or instruction, completions: [{response, overall_score, ...}, ...]",
        lambda table: "completions" in map(plain, table.columns) and bool(table.candidates("prompt")),
        _completions,
        _completions_rewards,
        compares=True,
    ),
    Layout(
        "shp",
        "history, human_ref_A, human_ref_B, score_A, score_B",
        lambda table: table.all_of("history", "human_ref_A", "human_ref_B"),
        _shp,
        lambda table: "votes: columns 'score_A' and 'score_B'" if table.all_of("score_A", "score_B") else "",
        compares=True,
    ),
    Layout(
        "webgpt",
        "question, answer_0, answer_1, score_0, score_1",
        lambda table: table.all_of("question", "answer_0", "answer_1"),
        _webgpt,
        lambda table: "votes: columns 'score_0' and 'score_1'" if table.all_of("score_0", "score_1") else "",
        compares=True,
    ),
)
