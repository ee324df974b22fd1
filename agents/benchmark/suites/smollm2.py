"""Settings that the suites of a pretrained model share: SmolLM2-135M-Instruct, its adapters and their training.

One training seed of a suite is to take an hour of one core at most. On a core of the kind that has instructions for
bfloat16, a step of 8 episodes takes 2 s at 70 tokens an episode and 4.8 s at 170 (BC as ILQL); 64 episodes are played
in 6 to 30 s, at 100 to 250 tokens a second with what is read first; opening the model and what measures episodes takes
20 s a cell.
"""

from __future__ import annotations

from typing import Any

from agents.benchmark.experiment import Cell
from agents.benchmark.suites.settings import GREEDY, SAMPLED, Decodings

AS_IT_COMES = "as it comes"

SMOLLM2: dict[str, Any] = {"lm": "smollm2", "lora": {"rank": 16}, "dtype": "bf16", "reference": AS_IT_COMES}
"""fields of an experiment; perplexity and divergence are measured with the untrained model"""

BASE_FIT: dict[str, Any] = {"steps": 125, "batch_size": 8, "lr": 1e-3, "warmup_steps": 10, "final_lr": 0.1}
"""for the first imitator: one pass over a thousand episodes"""
FIT: dict[str, Any] = {"steps": 60, "batch_size": 8, "lr": 5e-4, "warmup_steps": 5}
"""for methods that go on from the first imitator: the same number of steps for all"""
GENTLE: dict[str, Any] = {**FIT, "lr": 1e-4}

WAYS: Decodings = (*GREEDY, {"top_p": 0.9})
"""decodings tried for policies without values"""
WEIGHED: Decodings = tuple(
    {**way, "advantage_weight": weight, "lm_top_p": 0.9} for way in (*GREEDY, *SAMPLED) for weight in (0, 2, 8)
)
"""Greedy and sampled, with the advantage weighted 0, 2 and 8, among the tokens that hold 0.9 of the model's
probability."""


def zero_shot(decodings: Decodings = WAYS) -> Cell:
    """The model without any training. It is told the task's rules, as all agents are."""
    return Cell(AS_IT_COMES, "bc", decodings=decodings, trained=False)
