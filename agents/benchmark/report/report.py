"""Writes the results of a run: ``results.parquet``, ``table.md``, pictures, and one page that needs no other file."""

from __future__ import annotations

import json
import os
import platform
import shlex
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from agents.benchmark.experiment import Baseline, Cell, Data, ExactLearner, Experiment, Suite, plain
from agents.benchmark.report import theme
from agents.benchmark.report.figures import figure
from agents.benchmark.report.headline import Across, across, across_table, best_table
from agents.benchmark.report.outcome import Outcome, Result, Table
from agents.benchmark.report.page import Section, page, render
from agents.benchmark.report.pictures import Picture, overview, pictures
from agents.benchmark.report.tables import long_rows, tables
from agents.benchmark.report.transcripts import transcripts
from agents.benchmark.report.verdict import NOTE, verdict
from datasets_builders import markdown
from datasets_builders.atomic import replacing

if TYPE_CHECKING:
    from markupsafe import Markup

    from agents.benchmark.running.units import Unit

SCHEMA = pa.schema(
    [
        ("experiment", pa.string()),
        ("label", pa.string()),
        ("agent", pa.string()),
        ("trained", pa.bool_()),
        ("seed", pa.int64()),
        ("metric", pa.string()),
        ("value", pa.float64()),
        ("episodes", pa.int64()),
    ]
)


class Verdict(NamedTuple):
    """The result of an experiment in a sentence, and where the page shows it."""

    anchor: str
    title: str
    sentence: str


def write_report(
    suite: Suite,
    results: Sequence[tuple[Unit, Result]],
    out: Path,
    command: str,
    failures: Mapping[str, str] | None = None,
) -> Path:
    """Writes every file of the report into ``out``; experiments without results are left out.

    Args:
        suite: the suite that was run.
        results: finished units with their results.
        out: folder of the report.
        command: the command line that made the results; empty if there is none.
        failures: name of a failed unit -> why it failed.

    Returns:
        The path of ``report.html``.
    """
    outcomes = [_outcome(e, results) for e in suite.experiments]
    outcomes = [o for o in outcomes if o.cells or o.baselines or o.exact]
    rows = [row for outcome in outcomes for row in long_rows(outcome)]
    with replacing(out / "results.parquet") as temporary:
        pq.write_table(pa.Table.from_pylist(rows, SCHEMA), temporary)
    verdicts = [Verdict(o.experiment.name, o.experiment.title, verdict(o)) for o in outcomes]
    found = across(outcomes)
    best = best_table(outcomes).concise()
    headline = [*([across_table(found).concise()] if found else []), _failures_table(failures or {})]
    _write(out / "table.md", _markdown(suite, verdicts, [best, *headline], outcomes, command).encode())
    if len(outcomes) > 1:  # for a single experiment the opening sentence says the same
        headline.insert(0, best)
    sections = _first_sections(outcomes, headline, found, _agents(suite), out)
    for outcome in outcomes:
        drawn = pictures(outcome, _agents(suite, outcome.experiment))
        for picture in drawn:
            _write(out / f"{outcome.experiment.name}-{picture.name}.png", theme.png(picture.draw(theme.LIGHT)))
        said = transcripts(outcome) if outcome is not outcomes[0] else None  # the first one's are at the top
        sections.append(_section(outcome, drawn, said))
    seconds = sum(sum(result.get("seconds", {}).values()) for _, result in results)
    sections.append(_made_by(command, out, f"{len(results)} pieces, {seconds / 60:.1f} processor minutes"))
    opening = render("opening.html", verdicts=verdicts, note=NOTE) if verdicts else "Nothing is finished yet."
    _write(out / "report.html", page(suite.title, opening, sections).encode())
    return out / "report.html"


def _failures_table(failures: Mapping[str, str]) -> Table:
    """The units that failed, and why; no rows if none failed."""
    note = "Experiment, agent and training seed. Tables and pictures contain only the other runs."
    return Table("Failed", ("piece of work", "why"), tuple(failures.items()), note)


def _agents(suite: Suite, experiment: Experiment | None = None) -> list[str]:
    """The labels that get a look each: those of the whole suite, so that an agent looks the same in every experiment.

    If the suite has more labels than there are looks, they are those of the experiment.
    """
    everywhere = list(dict.fromkeys(cell.label for e in suite.experiments for cell in e.cells))
    if experiment is None or len(everywhere) <= theme.MOST_LOOKS:
        return everywhere
    return [cell.label for cell in experiment.cells]


def _outcome(experiment: Experiment, results: Sequence[tuple[Unit, Result]]) -> Outcome:
    own = [(unit.part, unit.seed, result) for unit, result in results if unit.experiment.name == experiment.name]
    cells: dict[str, list[Result]] = {}
    for cell in experiment.cells:
        runs = sorted(
            ((seed, r) for part, seed, r in own if isinstance(part, Cell) and part.label == cell.label),
            key=lambda x: x[0],
        )
        if runs:
            cells[cell.label] = [r for _, r in runs]
    baselines = {part.label: r for part, _, r in own if isinstance(part, Baseline)}
    yardsticks = next((r for part, _, r in own if part is None), None)
    exact = {part.label: r for part, _, r in own if isinstance(part, ExactLearner)}
    return Outcome(experiment, cells, baselines, yardsticks, exact)


def _markdown(
    suite: Suite, verdicts: Sequence[Verdict], headline: Sequence[Table], outcomes: Sequence[Outcome], command: str
) -> str:
    named = [f"**{markdown.text(one.title)}**: " if len(verdicts) > 1 else "" for one in verdicts]
    sentences = [name + markdown.text(one.sentence) for name, one in zip(named, verdicts, strict=True)]
    parts = [f"# {markdown.text(suite.title)}", ""]
    parts += [
        *(line for sentence in sentences for line in (sentence, "")),
        *([markdown.text(NOTE), ""] * bool(verdicts)),
    ]
    parts += ["## Headline", "", *(table.markdown() for table in headline if table.rows)]
    for outcome in outcomes:
        parts += [f"## {markdown.text(outcome.experiment.title)}", "", markdown.text(outcome.experiment.about), ""]
        parts += [table.markdown() for table in tables(outcome)]
    if command:
        parts += ["Made by", "", markdown.block(command), ""]
    return "\n".join(parts)


def _first_sections(
    outcomes: Sequence[Outcome], headline: Sequence[Table], found: Across | None, agents: Sequence[str], out: Path
) -> list[Section]:
    """The sections below the opening: transcripts of the first experiment, then tables of all experiments."""
    sections = []
    if outcomes and (
        said := transcripts(outcomes[0], outcomes[0].experiment.title if len(outcomes) > 1 else "", level=3)
    ):
        sections.append(Section("start", "One start, every agent", said))
    figures = []
    if found is not None:
        picture = overview(found, agents)
        _write(out / "overview.png", theme.png(picture.draw(theme.LIGHT)))
        figures.append(figure(picture))
    shown = [table for table in headline if table.rows]
    if figures or shown:
        title = "All experiments" if len(outcomes) > 1 else "What is missing"
        sections.append(Section("headline", title, render("headline.html", tables=shown, figures=figures)))
    return sections


def _section(outcome: Outcome, drawn: Sequence[Picture], said: Markup | None) -> Section:
    """The section of an experiment: transcripts, pictures, tables and settings."""
    experiment = outcome.experiment
    html = render(
        "experiment.html",
        about=experiment.about,
        transcripts=said,
        figures=[figure(picture, experiment.name) for picture in drawn],
        tables=tables(outcome),
        settings=_settings(experiment),
    )
    return Section(experiment.name, experiment.title, html)


def _model(experiment: Experiment) -> str:
    if not experiment.pretrained:
        return f"{experiment.lm}, from scratch"
    how = "all weights" if experiment.lora is None else f"adapters {json.dumps(experiment.lora)}"
    return f"{experiment.lm}, trained elsewhere, {experiment.dtype}, {how}"


def _logs(data: Data) -> str:
    if data.path:
        return f"the folder {data.path}"
    many = "all" if data.episodes is None else f"{data.episodes:,}"
    return f"{many} episodes of {data.recipe} {json.dumps(data.options)}, seed {data.seed}"


def _settings(experiment: Experiment) -> list[str]:
    """Lines with the data, the model, the environment, and the settings of every agent, baseline and exact learner."""
    return [
        f"data: {_logs(experiment.data)}",
        f"model: {_model(experiment)}",
        f"environment: {experiment.env} {json.dumps(experiment.env_options)}",
        f"evaluation: {experiment.episodes:,} episodes; decodings chosen on {experiment.selection_episodes:,} others",
        *(f"{cell.label}: {_said(cell, Cell('', ''))}" for cell in experiment.cells),
        *(f"{baseline.label}, not trained: {_said(baseline, Baseline('', ''))}" for baseline in experiment.baselines),
        *(f"{x.label}, exact {x.method}: {_said(x, ExactLearner('', x.method))}" for x in experiment.exact),
    ]


def _said(part: Cell | Baseline | ExactLearner, usual: Cell | Baseline | ExactLearner) -> str:
    """The settings of a part that differ from those of ``usual``, in words."""
    before = plain(usual)
    said = {k: v for k, v in plain(part).items() if k != "label" and v != before[k]}
    return ", ".join(f"{name} {value if isinstance(value, str) else json.dumps(value)}" for name, value in said.items())


def _made_by(command: str, out: Path, work: str) -> Section:
    """The section with the command, how to repeat it, and the machine."""
    again = f"lang-envs bench --from {shlex.quote(str(out / 'config.json'))} --out {shlex.quote(f'{out}-again')}"
    return Section(
        "made", "How it was made", render("made.html", command=command, again=again, facts={"work": work} | facts())
    )


def facts() -> dict[str, str]:
    """Facts about the machine that writes the report, and versions of the software."""
    import torch

    names = ("lang-envs", "torch", "transformers", "gymnasium", "numpy", "datasets")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30 if hasattr(os, "sysconf") else None
    accelerators = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        **({"memory": f"{memory:.0f} GiB"} if memory else {}),
        "accelerator": ", ".join(accelerators) or "none",
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "versions": ", ".join(f"{name} {version(name)}" for name in names),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _write(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)
