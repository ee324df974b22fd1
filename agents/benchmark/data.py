"""The logs of an experiment, as plain data: recorded by a recipe, in a folder that is there, or what a cell says."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Data:
    """A data set to use in every cell: recorded once by a recipe, or a folder that is there.

    Raises:
        ValueError: it is neither, or both.
    """

    recipe: str = ""
    """a name in ``datasets_builders.RECIPES``, or "module:NAME", or what an installed package offers"""
    episodes: int | None = None
    """how many to record; None for all there are, where the recipe has an end"""
    seed: int = 0
    options: dict[str, Any] = field(default_factory=dict)
    """passed to the recipe"""
    path: str = ""
    """instead of all this, the folder of a data set: used whole, and left as it is"""

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", os.fspath(self.path))
        if bool(self.recipe) == bool(self.path):
            raise ValueError(f"Data are of a recipe or at a path: got recipe={self.recipe!r} and path={self.path!r}.")
        if self.path and (self.episodes is not None or self.seed or self.options):
            raise ValueError(f"the data at {self.path!r} are there: leave out episodes, seed and options.")


@dataclass(frozen=True)
class Samples:
    """What a trained cell says in the environment of its own logs, from the first context on.

    It is recorded once for each training run of the cell.

    Raises:
        ValueError: nothing is asked of the cell.
    """

    of: str
    """label of the cell; ``experiment/label`` for one of another experiment"""
    episodes: int | None = None
    """so many, from the first contexts on; None: all"""
    drawn: int = 0
    """how many replies are drawn for each context, at temperature 1"""
    beams: int = 0
    """how many are found by beam search"""
    human: bool = True
    """whether what people said there is recorded too"""

    def __post_init__(self) -> None:
        if self.drawn < 0 or self.beams < 0 or self.drawn + self.beams == 0:
            raise ValueError(f"Samples of {self.of!r} need drawn or beams, or both; got {self.drawn} and {self.beams}.")


def file_name(recipe: str) -> str:
    """What the folder of a recipe's data begins with, also where it is "module:NAME"."""
    return recipe.replace(":", ".")
