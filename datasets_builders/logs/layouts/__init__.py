"""The known layouts of logs, one file for each family, and ``recognised``, which finds the layout of a log."""

from __future__ import annotations

from datasets_builders.logs.layouts import answers, conversations, pairs, several, token_ids, trees
from datasets_builders.logs.layouts.layout import Layout
from datasets_builders.logs.table import Table
from datasets_builders.storage import DatasetError
from lang_envs.misspelt import unknown

LAYOUTS: tuple[Layout, ...] = (
    *token_ids.LAYOUTS,
    *trees.LAYOUTS,
    *several.LAYOUTS,
    *pairs.LAYOUTS,
    *conversations.LAYOUTS,
    *answers.LAYOUTS,
)
"""Layouts that compare replies come first: their logs may also have the columns of layouts of single replies."""


def recognised(table: Table, name: str | None = None) -> Layout:
    """The layout of a log.

    Args:
        table: the columns of the log.
        name: the name of the layout, if the user gave one.

    Raises:
        DatasetError: no layout fits, or several do and none is named.
    """
    if name is not None:
        if found := next((layout for layout in LAYOUTS if layout.name == name), None):
            return found
        raise DatasetError(unknown("layout", name, [layout.name for layout in LAYOUTS]))
    fitting = [layout for layout in LAYOUTS if layout.fits(table)]
    if fitting and fitting[0].compares:
        fitting = fitting[:1]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        names = ", ".join(layout.name for layout in fitting)
        raise DatasetError(f"{table.listed} fit several layouts ({names}); say which with --layout")
    known = "; ".join(f"{layout.name} ({layout.columns})" for layout in LAYOUTS)
    raise DatasetError(
        f"{table.listed} fit no layout that is known. The known layouts are: {known}. Name the columns of any other "
        "log with --prompt-column, --response-column, --messages-column and --reward-column"
    )
