"""``lang-envs push``: sends an agent, a data set or results to the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from rich.markup import escape
from rich.table import Table
from tyro.conf import Positional, arg

from agents.cli.next_steps import OURS, Step, after_push, show_next
from agents.cli.show import console


@dataclass
class Push:
    """Uploads an agent, a data set or results to the Hugging Face hub.

    The files are listed first. Then `hub:owner/name` names the upload wherever a run is accepted: eval, ope, explain,
    chat, play, serve ...; train accepts it as --data or --lm. HF_TOKEN is your access token, HF_ENDPOINT the address of
    the hub. Hidden files, and files that contain what looks like a key or a password, are refused.

    Examples:
        lang-envs push runs/ilql me/reviewer --dry-run
        lang-envs push runs/ilql me/reviewer --private --license apache-2.0
        lang-envs push data/trap me/wordle-trap
        lang-envs eval hub:me/reviewer
    """

    folder: Annotated[Positional[Path], arg(metavar="FOLDER")]
    """folder of a run, a saved agent, a data set, or results"""
    name: Annotated[Positional[str], arg(metavar="OWNER/NAME")]
    """name of the repository; it is created if it does not exist"""
    kind: Literal["agent", "data", "results"] | None = None
    """content of the folder; by default recognised from its files"""
    private: bool = False
    """make a new repository private"""
    license: str | None = None
    """licence of an agent's weights for its card, such as apache-2.0; by default none is stated"""
    dry_run: bool = False
    """list the files and send nothing"""

    def __call__(self) -> None:
        """Prints the files with their sizes, and then the address."""
        from datasets_builders import hub

        hub.repository(self.name)
        kind = self.kind or kind_of(self.folder)
        if self.license is not None and kind != "agent":
            raise ValueError("--license is for an agent's weights; leave it out for a data set or results.")
        with self._files(kind) as files:
            hub.check_files(files)
            self._list(files, kind)
            if self.dry_run:
                console().print("Nothing was sent.")
                show_next(console(), self._for_good())
                return
            address = hub.send(files, self.name, kind, self.private)
        console().print(f"Sent to {escape(address)}; {escape(hub.PREFIX + self.name)} opens it.", soft_wrap=True)
        show_next(console(), after_push(kind, self.name, address))

    def _for_good(self) -> Step:
        """The same command without --dry-run, which sends the files."""
        kind = ["--kind", self.kind] if self.kind is not None else []
        licence = ["--license", self.license] if self.license is not None else []
        return [OURS, "push", self.folder, self.name, *kind, *(["--private"] if self.private else []), *licence]

    @contextmanager
    def _files(self, kind: str) -> Iterator[Mapping[str, Path]]:
        from agents.runs.pushed import agent_files
        from datasets_builders import EpisodeDataset, hub
        from datasets_builders.pushed import data_files

        if kind == "agent":
            with agent_files(self.folder, self.license) as files:
                yield files
        elif kind == "data":
            EpisodeDataset.load(self.folder)  # refuses a damaged data set
            with data_files(self.folder) as files:
                yield files
        else:
            yield hub.results_files(self.folder)

    def _list(self, files: Mapping[str, Path], kind: str) -> None:
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
        sizes = {place: file.stat().st_size for place, file in files.items()}
        for place, size in sizes.items():
            table.add_row(escape(place), f"{size:,}")
        table.add_row(f"[bold]{kind}, {len(sizes)} files", f"[bold]{sum(sizes.values()):,} bytes")
        console().print(table)


def kind_of(folder: Path) -> Literal["agent", "data", "results"]:
    """The kind of content of a folder.

    Raises:
        ValueError: there is no such folder.
    """
    from agents.runs.config import agent_folder

    if not folder.is_dir():
        raise ValueError(f"There is no folder {folder}.")
    if (folder / "provenance.json").exists():
        return "data"
    return "agent" if (agent_folder(folder) / "agent.json").exists() else "results"
