"""The time that a training step saves by reading episodes of similar length together: 32 episodes and GPT-2."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2Model

from agents.models.lm import SIZES
from agents.models.reading import read

ROWS, VOCABULARY, ROUNDS = 32, 2048, 9
# Tokens of an episode: shortest, longest, and the power that makes the long ones rare; and the least gain expected.
LENGTHS = {"games": (62, 74, 1.0, 0.9), "dialogues": (30, 128, 1.0, 1.1), "dialogues, few long": (20, 128, 3.0, 1.3)}


def stepper(trunk: Any, ids: torch.Tensor, mask: torch.Tensor | None, real: torch.Tensor) -> Callable[[], float]:
    def step() -> float:
        start = time.process_time()
        read(trunk, ids, mask)[real].square().mean().backward()
        trunk.zero_grad()
        return time.process_time() - start

    return step


@pytest.mark.parametrize("size", ("d64-l2", "d128-l2", "d256-l4"))
@pytest.mark.parametrize("kind", LENGTHS)
def test_similar_lengths_together(benchmark: Any, size: str, kind: str) -> None:
    """Bound: the share of padding; at 40 % of it nothing can be faster than 1.67 times."""
    torch.set_num_threads(1)
    shortest, longest, power, least = LENGTHS[kind]
    drawn = np.random.default_rng(0).random(ROWS) ** power
    lengths = torch.from_numpy((shortest + drawn * (longest - shortest)).astype(np.int64))
    lengths[0] = longest
    ids = torch.randint(0, VOCABULARY, (ROWS, longest))
    mask = (torch.arange(longest) < lengths[:, None]).long()
    trunk = GPT2Model(GPT2Config(vocab_size=VOCABULARY, n_positions=longest, **SIZES[size]))
    at_once, together = stepper(trunk, ids, None, mask > 0), stepper(trunk, ids, mask, mask > 0)
    pairs = [(at_once(), together()) for _ in range(ROUNDS)][1:]
    gain = float(np.median([before / after for before, after in pairs]))
    benchmark.extra_info.update(gain=round(gain, 2), padding=round(1 - float(mask.float().mean()), 2))
    print(f"\n{size}, {kind}: {1 - float(mask.float().mean()):.0%} padding, {gain:.2f} times as fast")  # noqa: T201
    benchmark.pedantic(together, rounds=1)
    assert gain > least
