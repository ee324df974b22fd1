"""``lang-envs list``: lists environments, data sets, agents and benchmarks, one in a line."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rich.table import Table

from agents.algorithms import AGENTS
from agents.benchmark.experiment import Suite
from agents.cli.data_commands import SAMPLED, RecordSamples
from agents.cli.next_steps import OURS, show_next
from agents.cli.show import console
from lang_envs.plugins import offered

OFFERED = "of an installed package"
Row = tuple[str, str, str]  # name, size, description


@dataclass
class List:
    """Lists environments, data sets, agents and benchmarks.

    "longest" is the largest number of turns of an episode. "episodes" is how many `record` makes by default: so many,
    one for every reply of the corpus, or so many for each context. "to train" is the number of training runs of a
    benchmark, all seeds together, and the time that one seed takes on one core, where it was measured.

    Examples:
        lang-envs list
        lang-envs list --import my_package
    """

    def __call__(self) -> None:
        """Prints a table of each kind, and next commands."""
        screen = console()
        for title, sizes, rows, kind in (
            ("Environments", "longest", environments(), "tasks"),
            ("Data sets", "episodes", recipes(), "recipes"),
            ("Agents", "", agents(), "agents"),
            ("Benchmarks", "to train", suites(), "suites"),
        ):
            table = Table(box=None, padding=(0, 2, 0, 0), title=title, title_justify="left", title_style="bold")
            table.add_column("name", no_wrap=True, overflow="fold")
            if sizes:
                table.add_column(sizes, no_wrap=True, overflow="fold", style="dim")
            table.add_column("what it is", overflow="fold")
            for row in [*rows, *((name, "", OFFERED) for name in offered(kind))]:
                table.add_row(*(row if sizes else (row[0], row[2])))
            screen.print(table, "")
        show_next(
            screen,
            (OURS, "show", "Wordle-v0"),
            (OURS, "show", "movie-review"),
            (OURS, "bench", "quick", "--out", "runs/quick"),
        )


def environments() -> Iterator[Row]:
    """The registered ids; an id of a task that came before is described by its options."""
    import gymnasium

    from agents.cli.commands import env_ids
    from lang_envs.make import task_class

    first: dict[Any, str] = {}
    for name in env_ids():
        if name in offered("tasks"):  # listed apart, because its module is imported only on use
            continue
        task, spec = task_class(name), gymnasium.spec(name)
        options = ", ".join(f"{key}={value}" for key, value in spec.kwargs.items() if key != "task")
        if (before := first.setdefault(task, name)) != name:
            what = f"{before} with {options}"
        else:
            what = first_sentence(inspect.getdoc(task) or "")
        turns = _longest(task)
        yield name, "" if turns is None else f"{turns} turn{'s' * (turns != 1)}", what


def _longest(task: Any) -> int | None:
    """The largest number of turns of a task with default options; None if it is known only once the task is made."""
    options = inspect.signature(task).parameters
    usual = [options[name].default for name in ("max_turns", "horizon") if name in options]
    stated = usual[0] if usual else getattr(task, "max_turns", None)
    return stated if isinstance(stated, int) else None


def recipes() -> Iterator[Row]:
    """The data sets that ``record`` makes."""
    from agents.cli.commands import USUAL_EPISODES
    from datasets_builders.recipes import RECIPES

    for name, recipe in RECIPES.items():
        size = f"{USUAL_EPISODES:,}" if recipe.size is None else "one per reply"
        yield name, size, first_sentence(recipe.description)
    for name, env_id in SAMPLED.items():
        yield (
            name,
            f"{RecordSamples.per_context} a context",
            f"Several samples of a model in each context{f' of {env_id}' if env_id else ''}.",
        )


def agents() -> Iterator[Row]:
    """The first sentence of each algorithm's class; the files are parsed, because importing them takes seconds."""
    for name, place in AGENTS.places.items():
        module, _, attribute = place.partition(":")
        found = find_spec(module)
        assert found is not None and found.origin is not None
        tree = ast.parse(Path(found.origin).read_text(encoding="utf-8"))
        [kind] = [part for part in tree.body if isinstance(part, ast.ClassDef) and part.name == attribute]
        yield name, "", first_sentence(ast.get_docstring(kind) or "")


def suites() -> Iterator[Row]:
    """The benchmarks that ``bench`` runs, and their numbers of training runs and minutes."""
    from agents.benchmark.suites import MINUTES, SUITES

    for name, suite in SUITES.items():
        time = f", {MINUTES[name]} min a seed" if name in MINUTES else ""
        yield name, f"{_runs(suite)} runs{time}", f"{suite.title}."


def _runs(suite: Suite) -> int:
    return sum((e.seeds or suite.seeds) * sum(cell.trained for cell in e.cells) for e in suite.experiments)


def first_sentence(page: str) -> str:
    """The first sentence of a page below its headings, without a reference in brackets that has a year."""
    lines = [line for line in page.splitlines() if not line.startswith("#")]
    text = " ".join("\n".join(lines).strip().partition("\n\n")[0].split())
    text = re.sub(r" \([^()]*\b(19|20)\d\d\b[^()]*\)", "", text)
    return re.split(r"(?<=[.!?:]) (?=[A-Z`])", text, maxsplit=1)[0].rstrip(":")
