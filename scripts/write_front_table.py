"""Writes the README's table from the committed results: a row for each task, a column for each method."""

import sys
from collections.abc import Sequence
from pathlib import Path

import generated_pages

from agents.benchmark.leaderboard.results import Column, Score, find

ROOT = Path(__file__).parents[1]
README, RESULTS = ROOT / "README.md", Path("docs/results")
BEGIN, END = "<!-- table: scripts/write_front_table.py -->\n", "<!-- end of table -->"
TASKS = {
    "trap/trap": "Wordle trap, rank test",
    "wordle/tweets-30": "Wordle, logs like tweets",
    "maze/position": "Maze of LMRL-Gym",
    "service-desk/slips": "Service desk",
    "visual-dialogue/yn": "Visual dialogue, no yes/no",
    "reddit/toxicity": "Reddit, toxicity",
    "reddit-smollm2/toxicity": "Reddit, toxicity, SmolLM2",
    "clarifying-qa/clarifying-qa-3": "Clarifying QA",
    "dialogue/dialogue": "Dialogue, built-in",
    "dialogue-real/multiwoz": "Dialogue, MultiWOZ",
    "dialogue-taskmaster/taskmaster": "Dialogue, Taskmaster 4",
}
METHODS = {  # heading -> labels of one setting each, the first that an experiment has; none is chosen by its score
    "BC": ("BC, longer", "SFT, all", "TF", "BC"),
    "%BC": ("%BC", "%BC, 20%", "SFT, top 1", "TF Top 0.6"),
    "Refit": ("Refit",),
    "DT": ("DT", "DT, 2 bins"),
    "Monte Carlo": ("Monte Carlo", "MC"),
    "SARSA": ("SARSA",),
    "ILQL": ("ILQL", "ILQL, τ 0.8", "ILQL, τ 0.9"),
}


def main() -> int:
    text = README.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return generated_pages.write({README: before + BEGIN + table() + END + after}, __doc__)


def table() -> str:
    columns = {column.name: column for found in find([ROOT / RESULTS]) for column in found.columns}
    rows = [["", *METHODS], ["---", *["---:"] * len(METHODS)]]
    rows += [_row(columns[name], title) for name, title in TASKS.items()]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _row(column: Column, title: str) -> list[str]:
    scores = [_score(column, labels) for labels in METHODS.values()]
    best, second = sorted((s for s in scores if s is not None), key=lambda score: -score.mean)[:2]
    ahead = best if best.interval.low > second.interval.high else None
    way = RESULTS / column.folder.name / "README.md"
    return [f"[{title}]({way.as_posix()})", *(_cell(score, score is ahead) for score in scores)]


def _score(column: Column, labels: Sequence[str]) -> Score | None:
    return next((score for label in labels if (score := column.find("trained", label))), None)


def _cell(score: Score | None, ahead: bool) -> str:
    if score is None:
        return "–"
    return f"**{score.mean:.2f}**" if ahead else f"{score.mean:.2f}"


if __name__ == "__main__":
    sys.exit(main())
