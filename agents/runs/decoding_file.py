"""How the agent of a run speaks: chosen once after its last step, and written beside it as ``decoding.json``."""

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
    """the one chosen: the agent's, from then on"""
    episodes: int
    """asked for, of each decoding; greedy ones play no context twice"""
    alone: int | None
    """place in ``tried`` of the best decoding in which a language model with values speaks without them"""
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
            raise ValueError("what was chosen, or is said to speak alone, is not among tried.")

    @property
    def best(self) -> dict[str, Any]:
        """What is known of the one chosen."""
        return next(row for row in self.tried if row["decoding"] == self.decoding)


def read(out: Path) -> Chosen | None:
    """What was chosen in the run's folder, or None.

    Raises:
        ValueError: the file is damaged.
    """
    path = out / FILE
    try:
        return typed(Chosen, read_object(path), path) if path.exists() else None
    except ValueError as error:
        raise ValueError(f"{error} Delete it, and the run chooses again.") from None
