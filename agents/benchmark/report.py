"""The results of a run as files: ``results.parquet``, ``table.md``, pictures, and one page that needs nothing else."""

from __future__ import annotations

import base64
import json
import os
import platform
from collections.abc import Callable, Sequence
from html import escape
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
from matplotlib.figure import Figure

from agents.benchmark import plots
from agents.benchmark.experiment import Baseline, Cell, Experiment, Suite
from agents.benchmark.tables import Outcome, Result, long_rows, tables

if TYPE_CHECKING:
    from agents.benchmark.runner import Unit

Draw = Callable[[plots.Theme], Figure]

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


def write_report(suite: Suite, results: Sequence[tuple[Unit, Result]], out: Path, command: str) -> Path:
    """Writes every file of the report into ``out``; parts whose cells are missing are left out.

    Args:
        suite: what was run.
        results: finished units with their results.
        out: folder.
        command: the command line that made it.

    Returns:
        The path of ``report.html``.
    """
    outcomes = [_outcome(e, results) for e in suite.experiments]
    outcomes = [o for o in outcomes if o.cells or o.baselines]
    rows = [row for outcome in outcomes for row in long_rows(outcome)]
    parquet = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows, SCHEMA), parquet)
    _write(out / "results.parquet", parquet.getvalue().to_pybytes())
    _write(out / "table.md", _markdown(suite, outcomes, command).encode())
    sections = []
    for outcome in outcomes:
        pictures = _pictures(outcome)
        for name, (draw, _) in pictures.items():
            _write(out / f"{outcome.experiment.name}-{name}.png", plots.png(draw(plots.LIGHT)))
        sections.append(_section(outcome, pictures))
    page = Template(files("agents.benchmark").joinpath("report.html").read_text(encoding="utf-8"))
    seconds = sum(sum(result.get("seconds", {}).values()) for _, result in results)
    lead = f"{len(results)} pieces of work, {seconds / 60:.1f} processor minutes, one thread each."
    text = page.substitute(
        title=escape(suite.title),
        lead=escape(lead),
        sections="\n".join(sections),
        command=escape(command or "(run from Python)"),
        facts="".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts().items()),
    )
    _write(out / "report.html", text.encode())
    return out / "report.html"


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
    return Outcome(experiment, cells, baselines, yardsticks)


def _markdown(suite: Suite, outcomes: Sequence[Outcome], command: str) -> str:
    parts = [f"# {suite.title}", ""]
    for outcome in outcomes:
        parts += [f"## {outcome.experiment.title}", "", outcome.experiment.about, ""]
        parts += [table.markdown() for table in tables(outcome)]
    if command:
        parts += ["Made by", "", "```", command, "```", ""]
    return "\n".join(parts)


def _curves(outcome: Outcome) -> dict[str, list[list[dict[str, Any]]]]:
    """Rank test measurements over training: label -> runs -> points; agents without values have none."""
    offsets = range(len(outcome.yardsticks["ceiling"])) if outcome.yardsticks else range(0)
    curves = {}
    for label, results in outcome.cells.items():
        runs = [
            [
                {
                    "step": row["step"],
                    "target": [row[f"eval/rank/target/{k}"] for k in offsets],
                    **{key: row[f"eval/rank/{key}"] for key in ("start", "better", "worse")},
                }
                for row in result["curve"]
                if "eval/rank/start" in row
            ]
            for result in results
        ]
        if all(runs):
            curves[label] = runs
    return curves


def _training_metrics(outcome: Outcome) -> dict[str, dict[str, list[list[tuple[int, float]]]]]:
    """Losses over training: metric -> label -> runs -> (step, value)."""
    chosen = ("loss/bc", "loss/q", "loss/v")
    metrics: dict[str, dict[str, list[list[tuple[int, float]]]]] = {}
    for name in chosen:
        for label, results in outcome.cells.items():
            runs = [[(row["step"], row[name]) for row in r["curve"] if name in row] for r in results]
            if all(runs):
                metrics.setdefault(name, {})[label] = runs
    return metrics


def _pictures(outcome: Outcome) -> dict[str, tuple[Draw, str]]:
    """Name -> how to draw it in a theme, and its caption."""
    pictures: dict[str, tuple[Draw, str]] = {}
    curves, y, agents = _curves(outcome), outcome.yardsticks, list(outcome.cells)
    if curves and y is not None:
        pictures["rank-test"] = (
            lambda theme: plots.rank_test(theme, agents, curves, y["ideal"], y["ceiling"]),
            "The rank test over training, target Q; lines are means over training runs, bands their range.",
        )
        pictures["values"] = (
            lambda theme: plots.values(theme, agents, curves, y["behaviour"], y["optimal"]),
            "Discounted values over training, beside those of the behaviour and of optimal play.",
        )
    if outcome.cells:
        returns = {label: outcome.returns(label) for label in outcome.cells}
        marks = {label: r["metrics"]["return"] for label, r in outcome.baselines.items()}
        pictures["returns"] = (
            lambda theme: plots.scores(theme, agents, returns, marks),
            "Returns: small dots are training runs, diamonds their mean, bars 95 % intervals over runs.",
        )
    if metrics := _training_metrics(outcome):
        pictures["training"] = (
            lambda theme: plots.learning_curves(theme, agents, metrics),
            "Losses over training steps.",
        )
    return pictures


def _section(outcome: Outcome, pictures: dict[str, tuple[Draw, str]]) -> str:
    experiment = outcome.experiment
    parts = [f"<h2>{escape(experiment.title)}</h2>", f"<p>{escape(experiment.about)}</p>"]
    shown = tables(outcome)
    parts += [shown[0].html()] if shown else []
    for name, (draw, caption) in pictures.items():
        parts.append(_figure(draw, caption, f"{experiment.name} {name}"))
    parts += [table.html() for table in shown[1:]]
    parts.append(_samples(outcome))
    data = f"{experiment.data.episodes:,} episodes of {experiment.data.recipe} {json.dumps(experiment.data.options)}"
    settings = "\n".join(
        f"{cell.label}: {cell.agent} {json.dumps(cell.config)} fit {json.dumps(cell.fit)}" for cell in experiment.cells
    )
    about = f"data: {data}\nmodel: {experiment.lm}\nenvironment: {experiment.env} {json.dumps(experiment.env_options)}"
    parts.append(f"<details><summary>Settings</summary><pre>{escape(about)}\n{escape(settings)}</pre></details>")
    return "\n".join(parts)


def _figure(draw: Draw, caption: str, name: str) -> str:
    """The picture for light and for dark pages, both inside the page."""
    light, dark = (_data_uri(plots.svg(draw(theme))) for theme in (plots.LIGHT, plots.DARK))
    return (
        f'<figure><div class="scroll"><picture><source media="(prefers-color-scheme: dark)" srcset="{dark}">'
        f'<img src="{light}" alt="{escape(name)}"></picture></div><figcaption>{escape(caption)}</figcaption></figure>'
    )


def _data_uri(svg: bytes) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"


def _samples(outcome: Outcome) -> str:
    """The first evaluation episodes of each agent's first training run."""
    parts = []
    for label, results in outcome.cells.items():
        episodes = "".join(
            f'<div class="note">return {sample["return"]:g}</div>{sample["html"]}' for sample in results[0]["samples"]
        )
        parts.append(f"<h3>{escape(label)}</h3>{episodes}")
    if not parts:
        return ""
    key = (
        '<p class="note key">Each token the agent chose, coloured by its advantage Q − V: '
        '<span style="background:rgba(35,110,200,.6)">better</span> or '
        '<span style="background:rgba(215,105,15,.6)">worse</span> '
        "than the model expected; grey is the environment. Point at a token for its numbers.</p>"
    )
    return f"<details><summary>Sample transcripts</summary>{key}{''.join(parts)}</details>"


def facts() -> dict[str, str]:
    """The machine and the versions that made a report."""
    names = ("torch", "transformers", "gymnasium", "numpy", "datasets")
    return {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
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
    partial = path.with_name(f"{path.name}.partial")
    partial.write_bytes(content)
    os.replace(partial, path)
