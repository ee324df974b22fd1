"""A warning where a training has too few steps for rewards to reach the start of the longest episodes.

A target network moves by ``target_rate`` of its distance in each optimiser step. Half the value of a reward T backups
away therefore arrives after about T / target_rate steps. A backup crosses one token, one utterance, or
1 / (1 - lambda) tokens.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from agents.data.log_facts import logged_of
from agents.data.source import Logged, Source
from agents.value_learning import BootstrapConfig
from lang_envs.turns import turn_begins

LOOKED_AT = 4096  # number of episodes, the first of the log


def check_horizon(config: Any, source: Source, steps: int, end_id: int) -> None:
    """Warns where the log's longest episodes need more steps than ``steps``.

    Only agents that bootstrap are checked.

    Args:
        config: the agent's settings.
        source: what it learns from; without a log nothing is checked.
        steps: optimiser steps of the whole training.
        end_id: the token that ends an utterance.
    """
    logged = logged_of(source)
    if not isinstance(config, BootstrapConfig) or not logged:
        return
    far, by = _longest(logged, config.backup, end_id)
    needed = far / config.target_rate
    if steps < needed:
        further = ', or look further ahead (backup="utterance")' if by == "token" else ""
        warnings.warn(
            f"Values will hardly cross the longest episodes of the log. A backup crosses one {by}, and episodes need "
            f"up to {far:.0f} of them. This takes about {needed:.0f} steps at target_rate={config.target_rate:g}, and "
            f"there are {steps}. Train for longer, or raise target_rate{further}.",
            stacklevel=2,
        )


def _longest(logged: Logged, backup: str | float, end_id: int) -> tuple[float, str]:
    """The number of backups from the end of the longest episode to its start, and what each of them crosses."""
    episodes = logged.data.rows(np.arange(min(LOOKED_AT, len(logged))))
    taken = np.flatnonzero(episodes.is_action)  # [K]
    if backup in ("utterance", "implicit"):
        counted, by = taken[turn_begins(taken, episodes.tokens[taken], end_id)], "utterance"
    else:
        counted, by = taken, "token"
    most = float(np.bincount(episodes.offsets[1:].searchsorted(counted, side="right"), minlength=1).max())
    return (most if isinstance(backup, str) else max(1.0, most * (1 - backup))), by
