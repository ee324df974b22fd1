"""Makes infos in the form of gymnasium's vector environments: arrays over all rows, and masks of rows with values."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def column(num_envs: int, like: NDArray[Any]) -> NDArray[Any]:
    """An empty column [N] for values such as ``like``: zeros for numbers and booleans, None for all others."""
    return np.zeros(num_envs, like.dtype) if like.dtype.kind in "biuf" else np.full(num_envs, None, object)


def widened(known: NDArray[Any], values: NDArray[Any]) -> NDArray[Any]:
    """The column ``known`` [N], cast to objects if ``values`` [n] are of another type, so that both stay exact."""
    return known if known.dtype == values.dtype else known.astype(object)


def collect(num_envs: int, rows: NDArray[np.int64], info: dict[str, NDArray[Any]]) -> dict[str, Any]:
    """The info of some rows [n] as arrays over all rows: for each key the values [N] and a mask [N] of ``rows``."""
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
    """As :func:`collect`, for a step that also resets: facts of the ended episodes are under the keys ``final_...``.

    Args:
        over: [N] bool, the rows whose episodes have ended, k of them.
        final: their last observations, each [k, T].
        rows: [n] the rows that have info.
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
