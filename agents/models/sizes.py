"""The sizes of language models from scratch, named by width and layers; "gpt2" is the smallest original GPT-2."""

from __future__ import annotations

from typing import Any

SIZES: dict[str, dict[str, Any]] = {
    "d64-l1": {"n_embd": 64, "n_layer": 1, "n_head": 4},
    "d64-l2": {"n_embd": 64, "n_layer": 2, "n_head": 4},
    "d128-l2": {"n_embd": 128, "n_layer": 2, "n_head": 4},
    "d256-l4": {"n_embd": 256, "n_layer": 4, "n_head": 8},
    "d384-l6": {"n_embd": 384, "n_layer": 6, "n_head": 6},
    "gpt2": {"n_embd": 768, "n_layer": 12, "n_head": 12},
}
"""settings of ``GPT2Config``"""
