"""Logs of every layout, as files. A damaged row is read, left out and counted, or refused; it changes no other row."""

from __future__ import annotations

import csv
import io
import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from damage import Bytes, Edit, of_bytes, of_json, write_json
from hypothesis import strategies as st
from log_files import LOGS
from outcome import Outcome
from worker import Kind

from datasets_builders.logs.importing import Import, Options
from datasets_builders.logs.rows import of_sources
from lang_envs.tokenizers import text_tokenizer

CONVERSATIONS = 6
TOKENIZER = text_tokenizer()
Found = dict[int, list[str]]
"""What was imported, by the number of the row."""


def _lines(rows: list[Any]) -> bytes:
    return b"".join(write_json(row) + b"\n" for row in rows)


def _table(rows: list[Any]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, rows[0])
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _columns(rows: list[Any]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), sink)
    return sink.getvalue()


KINDS: dict[str, Callable[[list[Any]], bytes]] = {
    ".jsonl": _lines, ".json": write_json, ".csv": _table, ".parquet": _columns
}  # fmt: skip
OTHERS = (("answers", ".json"), ("answers", ".csv"), ("messages", ".parquet"), ("preference", ".parquet"))


@dataclass(frozen=True)
class Damaged:
    """What is done to the file of a layout."""

    layout: str
    kind: str
    """what the file's name ends in"""
    damage: Bytes | Edit
    """to its bytes, or to the list of rows"""


def rows_of(layout: str) -> list[Any]:
    """A small log."""
    return [row for i in range(CONVERSATIONS) for row in LOGS[layout](i)]


def prepare(folder: Path) -> dict[tuple[str, str], tuple[str, Found]]:
    """What is imported from every sound file."""
    found = {}
    for layout, kind in [*((layout, ".jsonl") for layout in LOGS), *OTHERS]:
        path = folder / f"{layout}{kind}"
        path.write_bytes(KINDS[kind](rows_of(layout)))
        how, skipped, conversations = _imported(path)
        assert not skipped and len(conversations) == CONVERSATIONS, (layout, kind, skipped)
        found[layout, kind] = how, conversations
    return found


@st.composite
def damages(draw: st.DrawFn, wanted: dict[tuple[str, str], tuple[str, Found]]) -> Damaged:
    """Mostly one edit in one row."""
    layout, kind = draw(st.sampled_from(sorted(wanted)))
    edited = kind in (".jsonl", ".json") and draw(st.integers(0, 9)) < 7
    return Damaged(layout, kind, draw(of_json(rows_of(layout)) if edited else of_bytes()))


def attempt(wanted: dict[tuple[str, str], tuple[str, Found]], damage: Damaged, case: Path) -> Outcome:
    """An edit of a row leaves the others as they were, unless it changes what the columns are taken for."""
    path, edit = case / f"log{damage.kind}", damage.damage
    rows = rows_of(damage.layout)
    if isinstance(edit, Bytes):
        path.write_bytes(edit.apply(KINDS[damage.kind](rows)))
    else:
        edited = edit.apply(rows)
        path.write_bytes(KINDS[damage.kind](edited if isinstance(edited, list) else [edited]))
    how, skipped, found = _imported(path)
    told_before, before = wanted[damage.layout, damage.kind]
    if found == before and how == told_before:
        return Outcome("right")
    if isinstance(edit, Edit) and _in_place(edit) and how == told_before:
        own = _rows_together(damage.layout, int(edit.path[0]))
        others = ({row: texts for row, texts in some.items() if row not in own} for some in (found, before))
        if json.dumps(next(others)) != json.dumps(next(others)):
            return Outcome("different", f"other rows than {own}: {edit}")
        if not any(row in found for row in own) and not skipped:
            return Outcome("different", f"left out and not counted: {edit}")
    return Outcome("skipped" if skipped else "accepted", str(edit))


def _in_place(edit: Edit) -> bool:
    """Whether it leaves the rows in number and order."""
    return len(edit.path) > 1 or (len(edit.path) == 1 and edit.how in ("set", "nudge"))


def _rows_together(layout: str, index: int) -> list[int]:
    """The numbers of the rows of a conversation, one of which is at ``index``."""
    many = len(LOGS[layout](0))
    return [index // many * many + i + 1 for i in range(many)]


def _imported(path: Path) -> tuple[str, int, Found]:
    """How a log was understood, how many were left out, and what was said and earned in each row.

    Raises:
        ValueError: as ``lang-envs import``.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        log = Import(of_sources([path]), str(path), TOKENIZER, Options())
        found: Found = {}
        for one in log:
            told = (one.messages, one.rewards, one.episode.tokens.tolist(), one.episode.rewards.tolist())
            found.setdefault(one.row, []).append(repr(told))
    if not found:
        raise log.nothing()
    report = log.report
    return f"{report.layout}, {report.rewards}", sum(one["count"] for one in report.skipped.values()), found


KIND = Kind("logs", prepare, damages, attempt)
