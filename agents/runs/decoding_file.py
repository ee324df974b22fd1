"""The decoding of a run's agent: chosen after the last training step, and kept in the run's ``decoding.json``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets_builders.atomic import read_object
from datasets_builders.fields import typed

FILE = "decoding.json"


@dataclass
class Chosen:
    """What ``decoding.json`` holds."""

    decoding: dict[str, Any]
    """the chosen one, which the agent uses from then on"""
    episodes: int
    """how many were asked for of each decoding; a greedy decoding may play fewer, as it plays no context twice"""
    alone: int | None
    """place in ``tried`` of ``Choice.alone``, the best decoding without values; None if none was tried"""
    tried: list[dict[str, Any]]
    """``decoding``, ``return``, ``error`` and ``episodes`` of each"""

    def __post_init__(self) -> None:
        """Checks that its parts belong together.

        Raises:
            ValueError: they do not.
        """
        if any(row.keys() != {"decoding", "return", "error", "episodes"} for row in self.tried):
            raise ValueError("a row of tried should have decoding, return, error and episodes.")
        known = self.alone is None or 0 <= self.alone < len(self.tried)
        if not known or all(row["decoding"] != self.decoding for row in self.tried):
            raise ValueError("decoding, or the place alone, is not among tried.")

    @property
    def best(self) -> dict[str, Any]:
        """The row of ``tried`` of the chosen decoding."""
        return next(row for row in self.tried if row["decoding"] == self.decoding)


def read(out: Path) -> Chosen | None:
    """The chosen decoding of the run in folder ``out``; None if none was chosen.

    Raises:
        ValueError: the file is damaged.
    """
    path = out / FILE
    try:
        return typed(Chosen, read_object(path), path) if path.exists() else None
    except ValueError as error:
        raise ValueError(f"{error} Delete it, and the run chooses again.") from None
