"""Shows explained episodes on a terminal and as an HTML page: coloured tokens, their values, likely next tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich import table as rich_table
from rich.console import Console
from rich.text import Text

from agents.benchmark.report.outcome import DASH, Table
from agents.benchmark.report.page import Section, page, render
from agents.evaluation.explain import Explanation, NextToken, explain, next_tokens
from datasets_builders.atomic import write_text
from lang_envs.episode import Episode
from lang_envs.progress import counted

if TYPE_CHECKING:
    from agents.agent import Agent


def look(agent: Agent, episode: Episode) -> Explanation:
    """The episode with the agent's values; without values if the agent has none."""
    if agent.needs_values:
        return explain(agent.model, agent.lm.tokenizer, episode, agent.lm.max_utterance_tokens)
    return Explanation.without_values(agent.lm.tokenizer, episode)


def numbers(explanation: Explanation, last: int | None = None) -> rich_table.Table:
    """A table of Q, V, advantage and reward of the last ``last`` actions; None: of all."""
    table = rich_table.Table(box=None, padding=(0, 2, 0, 0))
    for name in ("token", "Q", "V", "advantage", "reward"):
        table.add_column(name, justify="left" if name == "token" else "right")
    rows = explanation.rows()
    for token, q, v, advantage, reward in rows if last is None else rows[-last:]:
        values = ("–" if x != x else f"{x:{form}}" for x, form in ((q, ".2f"), (v, ".2f"), (advantage, "+.2f")))
        table.add_row(Text(token), *values, f"{reward:g}" if reward else "")
    return table


@dataclass(frozen=True, eq=False)
class Shown:
    """An episode with the agent's values, and with likely next tokens after it."""

    episode: Episode
    explanation: Explanation
    next: list[NextToken]


def of_episodes(agent: Agent, episodes: Sequence[Episode], count: int, needs_values: bool) -> list[Shown]:
    """Explains every episode.

    Args:
        agent: whose values are shown.
        episodes: the episodes.
        count: number of likely next tokens to list after each; 0 lists none.
        needs_values: whether an agent without values is an error.

    Raises:
        TypeError: the agent has no values, and they are needed.
    """
    tokenizer = agent.lm.tokenizer
    shown = []
    for episode in counted("explaining", len(episodes), episodes):
        if needs_values:
            explained = explain(agent.model, tokenizer, episode, agent.lm.max_utterance_tokens)
        else:
            explained = look(agent, episode)
        following = next_tokens(agent.model, tokenizer, episode.tokens, count) if count else []
        shown.append(Shown(episode, explained, following))
    return shown


def show(screen: Console, shown: Sequence[Shown], with_numbers: bool) -> None:
    """Prints episodes, coloured by advantage."""
    for one in shown:
        screen.print(_return(one), style="dim")
        screen.print(one.explanation.text())
        if with_numbers:
            screen.print(numbers(one.explanation))
        if one.next:
            following = _next_table(one.next)
            screen.print(_printed(following))
            screen.print(following.note, style="dim")
        screen.print()


def write_page(path: Path, title: str, shown: Sequence[Shown]) -> None:
    """Writes one HTML page that needs no other file, whole or not at all."""
    sections = []
    for i, one in enumerate(shown, 1):
        tables = [_token_table(one.explanation), *([_next_table(one.next)] if one.next else [])]
        said = {"outcome": _return(one), "episode": one.explanation.html(), "tables": tables}
        sections.append(Section(f"episode-{i}", f"Episode {i}", render("explained.html", first=i == 1, **said)))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, page(title, "What the agent thinks of every token it chose.", sections))


def _return(one: Shown) -> str:
    """The return of the episode in words, or "left open" if the last text is unfinished."""
    over = one.episode.terminated or not one.next
    return f"return {one.episode.ret:g}" if over else "left open"


def _token_table(explanation: Explanation) -> Table:
    rows = [
        (token.strip(), _number(q), _number(v), _number(advantage, "+"), f"{reward:g}" if reward else "")
        for token, q, v, advantage, reward in explanation.rows()
    ]
    return Table("Token by token", ("token", "Q", "V", "advantage", "reward"), tuple(rows))


def _next_table(following: Sequence[NextToken]) -> Table:
    rows = [
        (one.token.strip(), f"{one.prior:.3f}", _number(one.q), _number(one.q - one.v, "+"), f"{one.policy:.3f}")
        for one in following
    ]
    note = (
        f"V is {following[0].v:.2f}. Log-probabilities of the agent are those of the language model plus the weighted "
        "advantage, normalised."
    )
    return Table("What could come next", ("token", "language model", "Q", "advantage", "agent"), tuple(rows), note)


def _number(value: float, sign: str = "") -> str:
    return DASH if np.isnan(value) else f"{value:{sign}.2f}"


def _printed(table: Table) -> rich_table.Table:
    """The table for a terminal."""
    printed = rich_table.Table(box=None, padding=(0, 2, 0, 0))
    for place, name in enumerate(table.header):
        printed.add_column(name, justify="right" if place else "left")
    for row in table.rows:
        printed.add_row(*(Text(cell) for cell in row))
    return printed
