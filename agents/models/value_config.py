"""The configuration of a ``ValueLM``: its heads, its trunks and its policy."""

from __future__ import annotations

import math
from typing import Any

from transformers import AutoConfig, PreTrainedConfig
from transformers.configuration_utils import SubConfigSpec

from agents.decoding.sampling import check_decoding

SPOKEN = ("advantage_weight", "advantage_clip", "lm_temperature", "lm_top_k", "lm_top_p")
"""the settings of a ``ValueLM``'s policy; they can be changed after training"""
_NOT_OF_TOKENS = ("utterance", "none")
LARGE_VOCABULARY = 10_000
"""number of tokens above which Q heads are "low_rank" by default: full heads would be larger than a small model"""


def check_spoken(
    advantage_weight: float, advantage_clip: float | None, lm_temperature: float, lm_top_k: int, lm_top_p: float
) -> None:
    """Checks the settings of a ``ValueLM``'s policy.

    Raises:
        ValueError: a setting is out of its range.
    """
    if not (isinstance(advantage_weight, int | float) and math.isfinite(advantage_weight)):
        raise ValueError(f"advantage_weight is a finite number, not {advantage_weight!r}.")
    if advantage_clip is not None and not isinstance(advantage_clip, int | float):
        raise ValueError(f"advantage_clip is a number or None, not {advantage_clip!r}.")
    check_decoding(lm_temperature, lm_top_k, lm_top_p)


class ValueLMConfig(PreTrainedConfig):
    """The configuration of a ``ValueLM``.

    The settings of the language model's own distribution are named ``lm_*``, because ``generate`` would take a setting
    named ``temperature`` as its own default and apply it a second time.

    Raises:
        ValueError: a setting is out of its range.
    """

    model_type = "value_lm"
    sub_configs_defaults = {  # noqa: RUF012 - declared a class variable by the library
        "lm": SubConfigSpec(config_class=AutoConfig, model_type="gpt2")
    }

    lm: dict[str, Any] | PreTrainedConfig | None = None
    """configuration of the language model"""
    num_q: int = 2
    """number of Q heads, 1 or 2; with two the smaller value is used"""
    trunks: str = "shared"
    """"shared": all heads read the language model's states, and only heads have targets; "separate": three
    transformers, for the policy, for the values, and for the targets of the values, as in Snell et al. 2023"""
    trunk_gradient: float = 1.0
    """fraction of the values' gradient that reaches a shared trunk; the language model's gradient is not reduced"""
    head_width: int = 2
    """hidden units of a head, as a multiple of the model's width"""
    q_head: str | None = None
    """last layer of the Q heads (``agents.models.heads``): "full", "low_rank" or "tied": a value for every token;
    "utterance": one value for a whole utterance, at its end; "none": no Q heads, only V. None: "low_rank" above
    ``LARGE_VOCABULARY`` tokens, else "full"; the model replaces None by its choice"""
    q_rank: int = 64
    """rank of "low_rank" Q heads"""
    zero_init: bool = False
    """heads start as the constant ``bias_init``, without the noise of initial weights"""
    bias_init: float | None = 0.0
    """initial value of the heads; a value below the returns is pessimistic about unseen tokens. None: the log's mean
    return"""
    value_unit: float | None = 1.0
    """factor of the heads' outputs, in units of reward; None: the standard deviation of the log's returns"""
    advantage_weight: float = 1.0
    """beta; with 0 the policy is the language model's"""
    advantage_clip: float | None = None
    """upper limit of beta * advantage; None: no limit. The Wordle agents of Snell et al. 2023 use 0"""
    lm_temperature: float = 1.0
    """temperature of the language model alone, before the advantage is added"""
    lm_top_k: int = 0
    """number of the language model's most probable tokens that can be sampled; 0: all"""
    lm_top_p: float = 1.0
    """nucleus: the most probable tokens with this total probability under the language model can be sampled; 1: all"""
    tie_word_embeddings: bool = False
    """not used; the language model's own setting is"""

    def __post_init__(self, **kwargs: Any) -> None:
        # transformers copies this setting to the language model's configuration, and would overwrite it with None
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
        """Whether the Q heads have a value for every token of the vocabulary."""
        return self.q_head not in _NOT_OF_TOKENS

    def get_text_config(self, decoder: bool | None = None, encoder: bool | None = None) -> PreTrainedConfig:
        """The language model's configuration; ``generate`` takes the size of its cache from it."""
        assert isinstance(self.lm, PreTrainedConfig)  # made one by the library
        return self.lm
