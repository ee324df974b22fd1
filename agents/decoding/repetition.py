"""The repetition penalty of Keskar et al. 2019, CTRL (arXiv:1909.05858): tokens seen before become less probable."""

from __future__ import annotations

from numbers import Real
from typing import Any

import torch
from torch import Tensor


def check_penalty(penalty: Any) -> None:
    """Checks a penalty.

    Raises:
        ValueError: it is no finite number above 0.
    """
    if not isinstance(penalty, Real) or isinstance(penalty, bool) or not 0 < float(penalty) < float("inf"):
        raise ValueError(f"repetition_penalty is a number above 0, not {penalty!r}; 1 leaves scores as they are.")


def penalised(scores: Tensor, seen: Tensor, penalty: float) -> Tensor:
    """Divides the scores of tokens seen before by the penalty, or multiplies those below 0, as ``generate`` does.

    Args:
        scores: [..., V].
        seen: bool [..., V].
        penalty: above 1 these tokens become less probable, below 1 more.

    Returns:
        The new scores, [..., V].
    """
    return torch.where(seen, torch.where(scores < 0, scores * penalty, scores / penalty), scores)


def seen_before(input_ids: Tensor, at: Tensor, vocabulary: int) -> Tensor:
    """Which tokens a row holds up to each of K states.

    Args:
        input_ids: [B, T], padded on the right.
        at: [K], positions in [B * T] where the states end.
        vocabulary: V; ids from V on are left out.

    Returns:
        bool [K, V].
    """
    length = input_ids.shape[1]
    ids = input_ids[at // length]  # [K, T]
    counts = (torch.arange(length, device=at.device) <= (at % length)[:, None]).float()  # [K, T] 1 up to the state
    wide = max(vocabulary, int(ids.max()) + 1)
    return (counts.new_zeros(len(at), wide).scatter_add(1, ids, counts) > 0)[:, :vocabulary]  # [K, V]
