"""``lang-envs leaderboard``: the results of many runs on one page."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from rich.markup import escape
from tyro.conf import Positional, arg

from agents.cli.show import console


@dataclass
class Leaderboard:
    """Writes one page of the results in several folders: methods by tasks, each figure a link to its table.

    Each FOLDER was written by bench --out, or holds such folders. A figure is the mean over training runs with its 95 %
    interval; the best trained method is bold where its interval lies above the next one's. Scripted policies, exact
    learners and what papers report of the same tasks stand below. Results of smoke runs are refused.

    A file leaderboard.toml in a FOLDER says which experiments share a table, what they are called and what to read into
    them (docs/benchmark.md has its fields); without one each folder has a table of its own.

    Examples:
        lang-envs leaderboard runs/quick
        lang-envs leaderboard runs/wordle runs/reddit --out runs/README.md
        lang-envs leaderboard runs --against refit
        lang-envs leaderboard docs/results --out docs/results/README.md
    """

    folders: Annotated[Positional[tuple[Path, ...]], arg(metavar="FOLDER ...")]
    """folders of results, or folders of such folders"""
    out: Path | None = None
    """the page, in Markdown; printed where it is not named"""
    against: str = "bc"
    """the algorithm that all others are held against, in the first table"""
    words: Path | None = None
    """what to say beside the figures; by default the leaderboard.toml in the first FOLDER that has one"""

    def __call__(self) -> None:
        """Prints the page, or where it is."""
        from datasets_builders.atomic import write_text

        text = self.page()
        if self.out is None:
            console().print(text, markup=False, soft_wrap=True)
            return
        self.out.parent.mkdir(parents=True, exist_ok=True)
        write_text(self.out, text)
        console().print(f"[bold]The leaderboard is at[/] {escape(str(self.out))}", soft_wrap=True)

    def page(self) -> str:
        """The page's source."""
        from agents.benchmark.leaderboard.page import page
        from agents.benchmark.leaderboard.results import find
        from agents.benchmark.leaderboard.words import Words, words_of

        if not self.folders:
            raise ValueError("Name at least one folder of results, as in lang-envs leaderboard runs/quick.")
        results = find(self.folders)
        words = words_of(self.folders) if self.words is None else Words.read(self.words)
        how = ["--against", self.against] if self.against != "bc" else []
        where = ["--out", str(self.out)] if self.out else []
        command = shlex.join(["lang-envs", "leaderboard", *map(str, self.folders), *how, *where])
        return page(results, words, self.out or Path("leaderboard.md"), self.against, command)
