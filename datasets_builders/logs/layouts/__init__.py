"""Layouts of logs, a file for each family, and which of them a log has."""

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
"""Those that compare replies come before those of single ones: the columns of the latter may stand beside."""


def recognised(table: Table, name: str | None = None) -> Layout:
    """The layout of a log.

    Args:
        table: its columns.
        name: of the layout, where a person says which.

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
        f"{table.listed} fit no layout that is known. Understood are: {known}. Name columns of others "
        "with --prompt-column, --response-column, --messages-column and --reward-column"
    )
