"""``lang-envs leaderboard``: the results of many runs on one page."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from rich.markup import escape
from tyro.conf import Positional, arg

from agents.cli.next_steps import Step, page, show_next
from agents.cli.show import console
from lang_envs.terminal import Terminal


@dataclass
class Leaderboard:
    """Writes a table of methods by tasks from benchmark results.

    Each FOLDER was written by bench --out, or contains such folders. Each entry is the mean over training runs with its
    95 % interval, and links to its source table. The best trained method is bold if its interval lies above the next
    one's. Scripted policies, exact learners and figures from papers follow below. Results of smoke runs are refused.

    A file leaderboard.toml in a FOLDER sets which experiments share a table, their names, and texts (fields:
    docs/benchmark.md). Without it each folder has its own table.

    Examples:
        lang-envs leaderboard runs/quick
        lang-envs leaderboard runs/wordle runs/reddit --out runs/README.md
        lang-envs leaderboard runs --against refit
        lang-envs leaderboard docs/results --out docs/results/README.md
    """

    folders: Annotated[Positional[tuple[Path, ...]], arg(metavar="FOLDER ...")]
    """folders of results, or folders of such folders"""
    out: Path | None = None
    """Markdown file to write; by default the page is printed"""
    against: str = "bc"
    """algorithm with which the first table compares all others"""
    words: Path | None = None
    """file with the texts; by default the leaderboard.toml in the first FOLDER that has one"""

    def __call__(self) -> None:
        """Prints the page, or where it is."""
        from datasets_builders.atomic import write_text

        text = self.page()
        if self.out is None:
            console().print(text, markup=False, soft_wrap=True)  # nothing else, as the output may go into a file
            step: Step = [
                "lang-envs",
                "leaderboard",
                *self.folders,
                "--against",
                self.against,
                "--out",
                "leaderboard.md",
            ]
            show_next(Terminal(stderr=True), step)
            return
        self.out.parent.mkdir(parents=True, exist_ok=True)
        write_text(self.out, text)
        console().print(f"[bold]The leaderboard is at[/] {escape(str(self.out))}", soft_wrap=True)
        show_next(console(), page(self.out))

    def page(self) -> str:
        """The page's source."""
        from agents.benchmark.leaderboard.page import page as page_of
        from agents.benchmark.leaderboard.results import find
        from agents.benchmark.leaderboard.words import Words, words_of

        if not self.folders:
            raise ValueError("Name at least one folder of results, as in lang-envs leaderboard runs/quick.")
        results = find(self.folders)
        words = words_of(self.folders) if self.words is None else Words.read(self.words)
        how = ["--against", self.against] if self.against != "bc" else []
        where = ["--out", str(self.out)] if self.out else []
        command = shlex.join(["lang-envs", "leaderboard", *map(str, self.folders), *how, *where])
        return page_of(results, words, self.out or Path("leaderboard.md"), self.against, command)
