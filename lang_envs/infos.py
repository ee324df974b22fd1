"""Infos as gymnasium's vector environments give them: arrays over all rows, and masks of who has what."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def column(num_envs: int, like: NDArray[Any]) -> NDArray[Any]:
    """An empty column [N]: zeros of their type for numbers and booleans, None for all else."""
    return np.zeros(num_envs, like.dtype) if like.dtype.kind in "biuf" else np.full(num_envs, None, object)


def widened(known: NDArray[Any], values: NDArray[Any]) -> NDArray[Any]:
    """The column ``known`` [N] as one that holds ``values`` [n] as they are: 0 in one row and 0.75 in another."""
    return known if known.dtype == values.dtype else known.astype(object)


def collect(num_envs: int, rows: NDArray[np.int64], info: dict[str, NDArray[Any]]) -> dict[str, Any]:
    """The info of some rows [n] among all: each key's values in their places [N], and a mask of who has one."""
    infos: dict[str, Any] = {}
    if not len(rows):
        return infos
    for key, values in info.items():
        infos[key], infos[f"_{key}"] = column(num_envs, values), np.zeros(num_envs, np.bool_)
        infos[key][rows], infos[f"_{key}"][rows] = values, True
    return infos


def collect_final(
    over: NDArray[np.bool_],
    final: dict[str, NDArray[Any]],
    rows: NDArray[np.int64],
    info: dict[str, NDArray[Any]],
) -> dict[str, Any]:
    """The same for a step that also resets: what belongs to the episodes that are ``over`` [N] moves under ``final_``.

    Args:
        over: which rows' episodes have ended, k of them.
        final: their last observations, each [k, T].
        rows: which rows have info, [n].
        info: key -> [n].
    """
    last = over[rows]  # [n]
    infos = collect(len(over), rows[~last], {key: values[~last] for key, values in info.items()})
    observations = np.full(len(over), None, object)  # [N] one dictionary for each row that is over
    for i, row in enumerate(np.flatnonzero(over).tolist()):
        observations[row] = {key: values[i] for key, values in final.items()}
    infos["final_obs"], infos["_final_obs"] = observations, over
    infos["final_info"] = collect(len(over), rows[last], {key: values[last] for key, values in info.items()})
    infos["_final_info"] = over.copy()
    return infos
