"""What a ``ValueLM`` is made of, and how it speaks."""

from __future__ import annotations

import math
from typing import Any

from transformers import AutoConfig, PreTrainedConfig
from transformers.configuration_utils import SubConfigSpec

from agents.decoding.sampling import check_decoding

SPOKEN = ("advantage_weight", "advantage_clip", "lm_temperature", "lm_top_k", "lm_top_p")
"""the settings below by which a ``ValueLM`` speaks; they can be changed after training"""
_NOT_OF_TOKENS = ("utterance", "none")
LARGE_VOCABULARY = 10_000
"""tokens above which Q heads are low-rank where nothing else is asked for: full ones would outweigh a small model"""


def check_spoken(
    advantage_weight: float, advantage_clip: float | None, lm_temperature: float, lm_top_k: int, lm_top_p: float
) -> None:
    """Refuses settings that are no way to speak.

    Raises:
        ValueError: saying which.
    """
    if not (isinstance(advantage_weight, int | float) and math.isfinite(advantage_weight)):
        raise ValueError(f"advantage_weight is a finite number, not {advantage_weight!r}.")
    if advantage_clip is not None and not isinstance(advantage_clip, int | float):
        raise ValueError(f"advantage_clip is a number or None, not {advantage_clip!r}.")
    check_decoding(lm_temperature, lm_top_k, lm_top_p)


class ValueLMConfig(PreTrainedConfig):
    """The configuration of a ``ValueLM``.

    The settings of the language model's own distribution are named ``lm_*``: ``generate`` would read a ``temperature``
    here as its own default, and apply it a second time.

    Raises:
        ValueError: a setting that means nothing.
    """

    model_type = "value_lm"
    sub_configs_defaults = {  # noqa: RUF012 - declared a class variable by the library
        "lm": SubConfigSpec(config_class=AutoConfig, model_type="gpt2")
    }

    lm: dict[str, Any] | PreTrainedConfig | None = None
    """configuration of the language model"""
    num_q: int = 2
    """Q heads, 1 or 2; with two the smaller value counts"""
    trunks: str = "shared"
    """"shared": all heads read the language model's states, and targets are heads only; "separate": the paper's three
    transformers, for the policy, for the values, and for the targets of the values"""
    trunk_gradient: float = 1.0
    """how much of the values' gradient reaches a shared trunk; the language model's reaches it whole"""
    head_width: int = 2
    """hidden units of a head, as a multiple of the model's width"""
    q_head: str | None = None
    """last layer of the Q heads (``agents.models.heads``): "full", "low_rank" or "tied" over the vocabulary;
    "utterance": one value, read where an utterance has ended, and none for tokens; "none": values of states alone, no
    Q. None: "low_rank" above ``LARGE_VOCABULARY`` tokens, else "full"; the model sets it to what it is"""
    q_rank: int = 64
    """rank of "low_rank" Q heads"""
    zero_init: bool = False
    """heads start as the constant ``bias_init``, without noise around it"""
    bias_init: float | None = 0.0
    """what the heads say at first; below the returns it is pessimistic about tokens never seen. None: the log's mean
    return"""
    value_unit: float | None = 1.0
    """what the heads' outputs are multiplied with, in units of reward; None: the spread of the log's returns"""
    advantage_weight: float = 1.0
    """beta: 0 speaks as the language model does"""
    advantage_clip: float | None = None
    """the most that beta * advantage may add to a token; None: no limit. The paper's Wordle agents use 0"""
    lm_temperature: float = 1.0
    """of the language model alone, before the advantage is added"""
    lm_top_k: int = 0
    """how many tokens of the language model stay possible; 0: all"""
    lm_top_p: float = 1.0
    """how much probability of the language model stays possible; 1: all"""
    tie_word_embeddings: bool = False
    """not read: the language model's own setting counts"""

    def __post_init__(self, **kwargs: Any) -> None:
        # The library hands its own setting down: without one, a language model that is already made would lose its.
        kwargs.setdefault("attn_implementation", getattr(self.lm, "_attn_implementation", None))
        super().__post_init__(**kwargs)
        if self.num_q not in (1, 2):
            raise ValueError(f"num_q is 1 or 2, not {self.num_q}.")
        if self.trunks not in ("shared", "separate"):
            raise ValueError(f"trunks is 'shared' or 'separate', not {self.trunks!r}.")
        if self.q_head not in (None, "full", "low_rank", "tied", *_NOT_OF_TOKENS):
            raise ValueError(f"q_head is 'full', 'low_rank', 'tied', 'utterance' or 'none', not {self.q_head!r}.")
        if self.value_unit is not None and not 0 < self.value_unit < math.inf:
            raise ValueError(f"value_unit is a number above 0, not {self.value_unit}.")
        if not 0 <= self.trunk_gradient <= 1:
            raise ValueError(f"trunk_gradient is a share from 0 to 1, not {self.trunk_gradient}.")
        if self.q_rank < 1:
            raise ValueError(f"q_rank must be at least 1, not {self.q_rank}.")
        check_spoken(**{name: getattr(self, name) for name in SPOKEN})

    @property
    def values_tokens(self) -> bool:
        """Whether the Q heads have a value for every token that could come next."""
        return self.q_head not in _NOT_OF_TOKENS

    def get_text_config(self, decoder: bool | None = None, encoder: bool | None = None) -> PreTrainedConfig:
        """The language model's configuration, which ``generate`` sizes its cache by."""
        assert isinstance(self.lm, PreTrainedConfig)  # made one by the library
        return self.lm
