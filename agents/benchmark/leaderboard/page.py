"""A leaderboard as a page of Markdown. Every figure links to the table that it comes from."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

from agents.benchmark.leaderboard.board import Board, Line
from agents.benchmark.leaderboard.comparison import Tally, against
from agents.benchmark.leaderboard.results import RETURN, Column, Results, Score
from agents.benchmark.leaderboard.words import Group, Paper, Words, papers
from datasets_builders import markdown

NONE = "-"
LEGEND = """The rows of a table are methods, ordered by their mean place. A figure is the mean over training runs, and
links to the table that it comes from. The small brackets hold the 95 % interval over runs (a bootstrap; with three runs
it is little more than their range). Each method was decoded greedily and sampled; its return is that of the way that
was better on other episodes. **Bold** marks the best trained method of a column if its interval lies above that of the
second best. *Italic* marks what was not trained here: scripted policies, *exact* learners (a table with an entry for
every state of the log), and what a paper reports, on other data. "-" means not measured. † marks older results, with
one way of decoding for each method."""
TALLY = """The table compares the best cell of each algorithm with the best `{0}` cell of the same experiment. It
counts the experiments in which the algorithm's interval is above that of `{0}` (ahead), overlaps it (level), or is
below it (behind). It counts all experiments with at least two runs of both; several of them may have the same task. The
best cell is chosen by its reported return, which favours the algorithm with more cells."""


def page(results: Sequence[Results], words: Words, out: Path, agent: str = "bc", command: str = "") -> str:
    """The page's source.

    Args:
        results: what is shown.
        words: the texts that a person wrote.
        out: where the page will lie; links lead from there.
        agent: the algorithm that all others are compared with.
        command: the command that writes the page, for its last line; empty: none.

    Raises:
        ValueError: ``words`` name an experiment that ``results`` do not have.
    """
    tables = words.groups(results)
    parts = [f"# {words.title}", words.introduction.strip(), LEGEND]
    shown = [column for _, columns in tables for column in columns if column.measure == RETURN]
    if tallies := against(shown, agent):
        parts += [f"## Against `{agent}`", TALLY.format(agent) + _older(shown), _tally_table(tallies)]
    for group, columns in tables:
        parts += _table(group, columns, words, out)
    if words.left_out:
        parts += ["## In no table", "\n".join(_left_out(results, words, out))]
    parts += ["## Where they come from", _sources(results, words, out)]
    if words.reading:
        parts += ["## What to read into the figures", words.reading.strip()]
    parts += [f"Written by `{command}`."] if command else []
    return "\n\n".join(part for part in parts if part) + "\n"


def _table(group: Group, columns: Sequence[Column], words: Words, out: Path) -> list[str]:
    """The parts of a table: its title, its text, the rows, notes on papers' data, and the targets of the links."""
    board = Board(columns)
    heads = [f"{_head(column, words, out)}<br><sub>{_made_of(column)}</sub>" for column in columns]
    best = [column.best() for column in columns]
    rows = [_row(["", *heads]), "|---|" + "---:|" * len(columns)]
    for line in board.lines():
        found = [column.find(line.kind, line.label) for column in columns]
        bold = [line.kind == "trained" and line.label == label for label in best]
        cells = [_cell(score, _key(c, out), strong) for score, c, strong in zip(found, columns, bold, strict=True)]
        rows.append(_row([_label(line), *cells]))
    published = board.published(papers())
    for paper, label, figures in published:
        shown = [NONE if x is None else f"{x:.2f}" for x in figures]
        rows.append(_row([f"*{markdown.text(label)}, [{paper.name}]({paper.url})*", *shown]))
    links = [f"[{_key(c, out)}]: {_link(out, c.folder / 'table.md', _anchor(c.title))}" for c in columns]
    notes = [_note(paper) for paper in {paper.name: paper for paper, *_ in published}.values()]
    return [f"## {group.title}", group.about.strip(), "\n".join(rows), *notes, "\n".join(links)]


def _note(paper: Paper) -> str:
    return f"[{paper.name}]({paper.url}): {' '.join(paper.data.split())}"


def _head(column: Column, words: Words, out: Path) -> str:
    """The head of a column: its name, as a link to the page about these results."""
    older = column.measure == RETURN and not column.protocols
    called = words.called.get(column.name, column.experiment)
    return f"[{markdown.text(called)}]({_about(column.folder, out)})" + (" †" if older else "")


def _about(folder: Path, out: Path) -> str:
    """The link to a folder's README.md or, without one, its table.md."""
    pages = (folder / "README.md", folder / "table.md")
    return _link(out, next(page for page in pages if page.exists()))


def _made_of(column: Column) -> str:
    runs = sorted({score.runs for score in column.trained})
    many = "-".join(str(n) for n in dict.fromkeys((runs[0], runs[-1]))) if runs else "no"
    return f"{column.measure}, {many} {'run' if runs == [1] else 'runs'}"


def _label(line: Line) -> str:
    name = markdown.text(line.label)
    return {"trained": name, "exact": f"*exact {name}*", "not trained": f"*{name}*"}[line.kind]


def _key(column: Column, out: Path) -> str:
    """The label of the link to the column's table, in the page's source."""
    return re.sub(r"[^\w./-]", "-", f"{_link(out, column.folder)}/{column.experiment}")


def _cell(score: Score | None, key: str, strong: bool) -> str:
    if score is None:
        return NONE
    figure = f"[{score.mean:.2f}][{key}]"
    figure = f"**{figure}**" if strong else figure
    low, high = score.interval
    return figure if math.isnan(low) else f"{figure} <sub>[{low:.2f},&nbsp;{high:.2f}]</sub>"


def _older(columns: Sequence[Column]) -> str:
    older = sum(not column.protocols for column in columns)
    return f" {older} of these {len(columns)} experiments have †." if older else ""


def _tally_table(tallies: Sequence[Tally]) -> str:
    rows = [_row(["algorithm", "experiments", "ahead", "level", "behind"]), "|---|---:|---:|---:|---:|"]
    for t in tallies:
        rows.append(_row([f"`{t.agent}`", *map(str, (t.experiments, t.ahead, t.level, t.behind))]))
    return "\n".join(rows)


def _left_out(results: Sequence[Results], words: Words, out: Path) -> Iterator[str]:
    for column in (column for found in results for column in found.columns if column.name in words.left_out):
        page = _link(out, column.folder / "table.md", _anchor(column.title))
        yield f"- [{column.title}]({page}): {words.left_out[column.name]}"


def _sources(results: Sequence[Results], words: Words, out: Path) -> str:
    rows = [_row(["folder", "question", "command"]), "|---|---|---|"]
    for found in results:
        asked = words.questions.get(found.folder.name, found.title)
        command = " ".join(found.command.split())
        said = markdown.code(command).replace("|", "\\|") if command else NONE
        rows.append(_row([f"[{markdown.text(found.folder.name)}]({_about(found.folder, out)})", asked, said]))
    return "\n".join(rows)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _link(out: Path, path: Path, anchor: str = "") -> str:
    """The relative link from the page to a file."""
    way = quote(Path(os.path.relpath(path, out.parent)).as_posix())
    return f"{way}#{anchor}" if anchor else way


def _anchor(heading: str) -> str:
    """The name that GitHub and MkDocs give a heading."""
    return re.sub(r"[^\w\- ]", "", heading.replace("\\", "").lower()).replace(" ", "-")
