"""Describes the logs of an experiment as plain data: a recipe to record, a folder, or samples of a trained cell."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Data:
    """A data set: recorded once by a recipe, or an existing folder.

    Raises:
        ValueError: it has neither a recipe nor a path, or both.
    """

    recipe: str = ""
    """a name in ``datasets_builders.RECIPES``, or "module:NAME", or a name that an installed package registers"""
    episodes: int | None = None
    """number of episodes to record; None records all of a recipe with a fixed number"""
    seed: int = 0
    options: dict[str, Any] = field(default_factory=dict)
    """passed to the recipe"""
    path: str = ""
    """instead of all fields above, the folder of a data set: all of it is used, and it is not changed"""

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", os.fspath(self.path))
        if bool(self.recipe) == bool(self.path):
            raise ValueError(f"Data are of a recipe or at a path: got recipe={self.recipe!r} and path={self.path!r}.")
        if self.path and (self.episodes is not None or self.seed or self.options):
            raise ValueError(f"the data at {self.path!r} are there: leave out episodes, seed and options.")


@dataclass(frozen=True)
class Samples:
    """Replies of a trained cell in the environment of its logs, recorded once for each training run of the cell.

    Raises:
        ValueError: neither ``drawn`` nor ``beams`` is positive, or one is negative.
    """

    of: str
    """label of the cell; ``experiment/label`` for one of another experiment"""
    episodes: int | None = None
    """number of episodes, from the first context on; None: all"""
    drawn: int = 0
    """number of replies sampled in each context, at temperature 1"""
    beams: int = 0
    """number of replies found by beam search in each context"""
    human: bool = True
    """whether people's own replies are recorded too"""

    def __post_init__(self) -> None:
        if self.drawn < 0 or self.beams < 0 or self.drawn + self.beams == 0:
            raise ValueError(f"Samples of {self.of!r} need drawn or beams, or both; got {self.drawn} and {self.beams}.")


def file_name(recipe: str) -> str:
    """The beginning of the name of a recipe's data folder; a ":" as in "module:NAME" becomes "."."""
    return recipe.replace(":", ".")
