"""The console of all commands, and the pages of ``lang-envs show``: environments, recipes, data sets and runs."""

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
"""the text in place of a return if the environment gives no rewards"""


def console() -> Console:
    """A console on standard output; made anew for each call, so that tests and programs can redirect the output."""
    return Terminal()


def show_env(screen: Console, name: str) -> None:
    """Prints the documentation of an environment."""
    import gymnasium

    from lang_envs.make import needed_options, task_class

    found = gymnasium.spec(name.rpartition(":")[2])  # the module of MODULE:ID is imported already
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
    """Prints a page of Markdown: rendered on a terminal, otherwise as it is."""
    screen.print(Markdown(page) if screen.is_terminal else page, markup=False, soft_wrap=not screen.is_terminal)


def show_recipe(screen: Console, recipe: Recipe) -> None:
    """Prints what a recipe records, its environment, and its own options with their defaults."""
    screen.print(f"[bold]{escape(recipe.name)}")
    screen.print(recipe.description, markup=False)
    screen.print(
        f"\nplayed in {recipe.env_id}; options of that environment can be set too, and --set env_id=ID plays another",
        markup=False,
    )
    for name, value in recipe.options.items():
        screen.print(f"--set {name}={json.dumps(value)}", markup=False)
    show_next(screen, after_recipe(recipe.name))


def show_data(screen: Console, path: Path, episodes: int) -> EpisodeDataset:
    """Prints the figures and the first episodes of a data set, and returns it."""
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
    """Prints the configuration of a run, its last metrics, and the tables of a benchmark's results."""
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
