"""Combines the opening of each episode with the continuation of another one, to estimate KTO's z0."""

from __future__ import annotations

import dataclasses

import torch

from agents.data.batch import Batch


def mismatched(batch: Batch, room: int | None) -> Batch:
    """The opening of each episode with the continuation of its neighbour; an odd last episode keeps its own.

    An opening is all tokens before the first action. Episodes 2 i and 2 i + 1 are neighbours.

    Args:
        batch: B episodes.
        room: the largest number of tokens of a result, which is truncated there; None: no limit.

    Returns:
        A batch of B episodes. Only its ``input_ids``, ``attention_mask``, ``state``, ``action`` and ``mask`` are those
        of the new episodes.
    """
    rows = torch.arange(len(batch), device=batch.mask.device)  # [B]
    other = torch.where(rows ^ 1 < len(batch), rows ^ 1, rows)  # [B]
    opening = batch.state[:, 0] + 1  # [B] tokens before the first action
    behind = batch.attention_mask.sum(1)[other] - opening[other]  # [B] tokens from there on
    width = int((opening + behind).max()) if room is None else min(room, int((opening + behind).max()))
    at = torch.arange(width, device=rows.device)[None]  # [1, T]
    own = at < opening[:, None]  # [B, T]
    column = torch.where(own, at, at + (opening[other] - opening)[:, None]).clamp(0, batch.input_ids.shape[1] - 1)
    row = torch.where(own, rows[:, None], other[:, None])  # [B, T]
    state = batch.state[other] + (opening - opening[other])[:, None]  # [B, A]
    said = batch.mask[other] * (state + 1 < width)  # [B, A]
    return dataclasses.replace(
        batch,
        input_ids=batch.input_ids[row, column],
        attention_mask=(at < (opening + behind)[:, None]).long(),
        state=state * said.long(),
        action=batch.action[other],
        mask=said,
    )
