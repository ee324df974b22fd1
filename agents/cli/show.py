"""Where the commands print, and what ``lang-envs show`` prints of an environment, a data set, and a run."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markdown import Markdown
from rich.markup import escape

from agents.cli.next_steps import after_env, after_recipe, after_run, show_next
from datasets_builders.atomic import read_object
from lang_envs.terminal import Terminal

if TYPE_CHECKING:
    from datasets_builders.dataset import EpisodeDataset
    from datasets_builders.recipes import Recipe

NOT_PAID = "not known: the log does not say; --env-options reward=likeness compares with its replies"
"""what is said of returns where an environment rewards nothing"""


def console() -> Console:
    """Standard output, looked up anew so that it can be redirected."""
    return Terminal()


def show_env(screen: Console, name: str) -> None:
    """Its documentation."""
    import gymnasium

    from lang_envs.make import needed_options, task_class

    found = gymnasium.spec(name.rpartition(":")[2])  # of MODULE:ID the module is imported by now
    if needs := needed_options(found.id):
        screen.print(f"[bold]{escape(name)}")
        screen.print(f"made with {', '.join(f'{option}=...' for option in needs)}", style="dim")
        show_markdown(screen, inspect.getdoc(task_class(found.id)) or "")
        show_next(screen, ("lang-envs", "list"))
        return
    env = gymnasium.make(name)
    task: Any = getattr(env.unwrapped, "task", None)
    if task is None:
        raise ValueError(f"{name} is no language environment: it has no task.")
    screen.print(f"[bold]{escape(name)}")
    screen.print(f"{env.action_space}, at most {task.max_tokens} tokens, {task.max_turns} turns", style="dim")
    show_markdown(screen, inspect.getdoc(type(task)) or "")
    show_next(screen, *after_env(name))


def show_markdown(screen: Console, page: str) -> None:
    """A page: rendered on a terminal, as it is where a program reads it."""
    screen.print(Markdown(page) if screen.is_terminal else page, markup=False, soft_wrap=not screen.is_terminal)


def show_recipe(screen: Console, recipe: Recipe) -> None:
    """What it records, where, and its own options; those of the environment are on the environment's page."""
    screen.print(f"[bold]{escape(recipe.name)}")
    screen.print(recipe.description, markup=False)
    screen.print(
        f"\nplayed in {recipe.env_id}, whose options it takes too; --set env_id=ID plays another", markup=False
    )
    for name, value in recipe.options.items():
        screen.print(f"--set {name}={json.dumps(value)}", markup=False)
    show_next(screen, after_recipe(recipe.name))


def show_data(screen: Console, path: Path, episodes: int) -> EpisodeDataset:
    """Its figures, and the first episodes. Returns the data set."""
    from datasets_builders import EpisodeDataset

    dataset = EpisodeDataset.load(path)
    screen.print(repr(dataset), style="bold", markup=False)
    screen.print(str(dataset), markup=False)
    for i in range(min(episodes, len(dataset))):
        episode = dataset[i]
        screen.print(f"\n[dim]episode {i}, return {episode.ret:g}, {escape(json.dumps(episode.info))}")
        screen.print(dataset.tokenizer().decode(episode.tokens), markup=False)
    return dataset


def show_run(screen: Console, path: Path) -> None:
    """What was asked, and what came of it."""
    from agents.training.log import read_log

    for name in ("config.json", "agent/agent.json", "agent.json"):
        if (path / name).exists():
            screen.print(f"[bold]{name}")
            screen.print_json(data=read_object(path / name))
    if rows := read_log(path):
        screen.print("[bold]last metrics")
        screen.print_json(data=rows[-1])
    if (path / "table.md").exists():
        show_markdown(screen, (path / "table.md").read_text(encoding="utf-8"))
    show_next(screen, after_run(path))
